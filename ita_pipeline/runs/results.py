"""Results of a run on one split: prediction files of both views, scores and error analysis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.ner.metrics.errors import analyze
from ita_pipeline.ner.metrics.scores import score_views
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions
from ita_pipeline.ner.views import EncodedPost
from ita_pipeline.runs.predictions import Mention, Prediction
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, ViewAnalysis, ViewScores


@dataclass(frozen=True, slots=True)
class SplitOutcome:
    """Scores and error analysis of a split."""

    scores: ViewScores
    analysis: ViewAnalysis


def write_split(
    run: Run, split: str, examples: Sequence[EncodedPost], outcome: ViewPredictions, known: frozenset[str]
) -> SplitOutcome:
    """Write the predictions of a split and measure them; `known` are the surfaces of the training mentions."""
    _write_predictions(run, split, TEXT, examples, outcome.text)
    _write_predictions(run, split, TEXT_AND_IMAGE, examples, outcome.context)
    text, both = score_views(examples, outcome)
    posts = [example.post for example in examples]
    analysis = ViewAnalysis(
        text=analyze(posts, outcome.text, known), text_and_image=analyze(posts, outcome.context, known)
    )
    return SplitOutcome(ViewScores(text=text, text_and_image=both), analysis)


def _write_predictions(
    run: Run, split: str, view: str, examples: Sequence[EncodedPost], mentions: Sequence[Sequence[ScoredSpan]]
) -> None:
    """Write CoNLL with gold and predicted tags, and JSON lines with scores; posts without words are left out."""
    pairs = list(zip(examples, mentions, strict=True))
    file = run.predictions(split, view)
    file.parent.mkdir(exist_ok=True)
    conll = format_conll((example.post, [span.span for span in scored]) for example, scored in pairs)
    file.write_text(conll, "utf-8")
    predictions = [
        Prediction(
            post=example.post,
            view=view if example.context is not None else TEXT,
            contexts=(),
            mentions=tuple(Mention.from_scored(example.post, span) for span in scored),
        )
        for example, scored in pairs
        if example.post.words
    ]
    lines = [json.dumps(prediction.to_json()) for prediction in predictions]
    run.mentions(split, view).write_text("".join(f"{line}\n" for line in lines), "utf-8")
