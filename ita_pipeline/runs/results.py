"""What a run found in one split: predictions of both views on disk, with their scores and their analysis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.ner.metrics.errors import analyze
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions, score_views
from ita_pipeline.ner.views import EncodedPost
from ita_pipeline.runs.predictions import Prediction, as_mention
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, ViewAnalysis, ViewScores


@dataclass(frozen=True, slots=True)
class SplitResult:
    scores: ViewScores
    analysis: ViewAnalysis


def write_split(
    run: Run, split: str, examples: Sequence[EncodedPost], outcome: ViewPredictions, known: frozenset[str]
) -> SplitResult:
    """Write the predictions of a split, and measure them; `known` are the surfaces of the mentions of train."""
    write_predictions(run, split, TEXT, examples, outcome.text)
    write_predictions(run, split, TEXT_AND_IMAGE, examples, outcome.context)
    text, both = score_views(examples, outcome)
    posts = [example.post for example in examples]
    analyses = ViewAnalysis(
        text=analyze(posts, outcome.text, known), text_and_image=analyze(posts, outcome.context, known)
    )
    return SplitResult(ViewScores(text=text, text_and_image=both), analyses)


def write_predictions(
    run: Run, split: str, view: str, examples: Sequence[EncodedPost], found: Sequence[Sequence[ScoredSpan]]
) -> None:
    """As CoNLL, beside the gold tags, and with scores as JSON lines. Posts without words are in neither file."""
    pairs = [(e.post, mentions) for e, mentions in zip(examples, found, strict=True)]
    file = run.predictions(split, view)
    file.parent.mkdir(exist_ok=True)
    file.write_text(format_conll((post, [m.span for m in mentions]) for post, mentions in pairs), "utf-8")
    lines = [
        Prediction(
            post=example.post,
            view=view if example.context is not None else TEXT,
            contexts=(),
            mentions=tuple(as_mention(example.post, mention) for mention in mentions),
        ).to_json()
        for example, mentions in zip(examples, found, strict=True)
        if example.post.words
    ]
    run.mentions(split, view).write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
