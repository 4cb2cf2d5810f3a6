"""Mentions from a trained tagger, with their probability. No gold label is needed or looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.metrics.scores import Scores, score
from ita_pipeline.ner.views import EncodedPost, View, collate, word_mask

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger


BATCH = 64


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A mention and the probability, in 0..1, that the CRF gives to exactly this span and type."""

    span: Span
    score: float


def tag_views(tagger: Tagger, views: Sequence[View], pad: int) -> list[list[ScoredSpan]]:
    """Mentions of each view, in order; views of like length share a batch."""
    found: dict[int, list[ScoredSpan]] = {}
    order = sorted(range(len(views)), key=lambda index: sum(map(len, views[index].rows)))
    for start in range(0, len(order), BATCH):
        indices = [index for index in order[start : start + BATCH] if views[index].words]
        found |= dict(zip(indices, tag_batch(tagger, [views[index] for index in indices], pad), strict=True))
    return [found.get(index, []) for index in range(len(views))]


def tag_batch(tagger: Tagger, views: Sequence[View], pad: int) -> Iterator[list[ScoredSpan]]:
    import torch

    if not views:
        return
    tagger.eval()
    device = tagger.linear.weight.device
    with torch.inference_mode():
        batch = {name: tensor.to(device) for name, tensor in collate(views, pad).items()}
        mask = word_mask([len(view.words) for view in views]).to(device)
        emissions = tagger.emissions(**batch)
        lattice = tagger.crf.lattice(emissions, mask)
        for sentence, tags in enumerate(tagger.crf.decode(emissions, mask)):
            mentions = []
            for span in tagger.config.scheme.decode(tags):
                logarithm = tagger.crf.path_log_probability(
                    lattice, emissions, sentence, span.start, tags[span.start : span.end]
                )
                mentions.append(ScoredSpan(span, math.exp(logarithm)))
            yield mentions


@dataclass(frozen=True, slots=True)
class ViewPredictions:
    """Mentions of every post in both views; where there is no context, I+T is T."""

    text: list[list[ScoredSpan]]
    context: list[list[ScoredSpan]]


def predict_views(tagger: Tagger, examples: Sequence[EncodedPost], pad: int) -> ViewPredictions:
    text = tag_views(tagger, [example.text for example in examples], pad)
    with_context = [index for index, example in enumerate(examples) if example.context is not None]
    views = [example.context for example in examples if example.context is not None]
    context = list(text)
    for index, mentions in zip(with_context, tag_views(tagger, views, pad), strict=True):
        context[index] = mentions
    return ViewPredictions(text, context)


def score_views(examples: Sequence[EncodedPost], outcome: ViewPredictions) -> tuple[Scores, Scores]:
    """Scores of T and of I+T."""
    gold: list[Sequence[Span]] = [example.post.gold or () for example in examples]
    views = (outcome.text, outcome.context)
    text, context = (score(gold, [[m.span for m in found] for found in view]) for view in views)
    return text, context
