"""The results of a run on one split: its files of predictions, scores, and error analysis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.corpus.posts import Post, select_taggable
from ita_pipeline.grounding.grounder import Grounding
from ita_pipeline.ner.metrics.errors import analyze
from ita_pipeline.ner.metrics.scores import score_views
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions
from ita_pipeline.ner.views import EncodedPost
from ita_pipeline.runs.grounding import GroundedViews, add_grounding, gold_boxes
from ita_pipeline.runs.predictions import Mention, Prediction
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, ViewAnalysis, ViewScores


def write_split(
    run: Run,
    split: str,
    examples: Sequence[EncodedPost],
    outcome: ViewPredictions,
    known: frozenset[str],
    grounded: GroundedViews | None = None,
) -> tuple[ViewScores, ViewAnalysis]:
    """Write the predictions of a split and measure them; `known` are the surfaces of the training mentions."""
    _write_predictions(run, split, TEXT, examples, outcome.text, grounded.text if grounded else None)
    _write_predictions(
        run, split, TEXT_AND_IMAGE, examples, outcome.context, grounded.context if grounded else None
    )
    text, both = score_views(examples, outcome)
    posts = [example.post for example in examples]
    analysis = ViewAnalysis(
        text=analyze(posts, outcome.text, known), text_and_image=analyze(posts, outcome.context, known)
    )
    return ViewScores(text=text, text_and_image=both), analysis


def _write_predictions(
    run: Run,
    split: str,
    view: str,
    examples: Sequence[EncodedPost],
    mentions: Sequence[Sequence[ScoredSpan]],
    grounded: Sequence[Sequence[Grounding]] | None,
) -> None:
    """Write CoNLL with gold and predicted tags, and JSON lines with scores; posts without words are left out."""
    pairs = list(zip(examples, mentions, strict=True))
    file = run.predictions(split, view)
    file.parent.mkdir(exist_ok=True)
    conll = format_conll((example.post, [span.span for span in scored]) for example, scored in pairs)
    file.write_text(conll, "utf-8")
    lines: list[str] = []
    for index, (example, scored) in enumerate(pairs):
        if example.post.words:
            spans = tuple(Mention.from_scored(example.post, span) for span in scored)
            if grounded is not None:
                spans = tuple(map(add_grounding, spans, grounded[index]))
            prediction = Prediction(example.post, view if example.context is not None else TEXT, (), spans)
            gold = _untaggable_gold(example.post) | (gold_boxes(example.post) if grounded is not None else {})
            lines.append(json.dumps(prediction.to_json() | gold) + "\n")
    run.mentions(split, view).write_text("".join(lines), "utf-8")


def _untaggable_gold(post: Post) -> dict[str, list[tuple[Any, ...]]]:
    """The gold mentions that the tags of a CoNLL file cannot express, if there are any."""
    untaggable = sorted(set(post.gold or ()).difference(select_taggable(post.gold or ())))
    spans = [(span.start, span.end, span.type, span.partial) for span in untaggable]
    return {"untaggable_gold": spans} if spans else {}
