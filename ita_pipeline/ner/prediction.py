"""Mentions from a trained tagger, with their probability. No gold label is needed or looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.views import View, collate, word_mask

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger


BATCH = 64


@dataclass(frozen=True, slots=True)
class Scored:
    """A mention and the probability, in 0..1, that the CRF gives to exactly this span and type."""

    span: Span
    score: float


def tag_views(tagger: Tagger, views: Sequence[View], pad: int) -> list[list[Scored]]:
    """Mentions of each view, in order; views of like length share a batch."""
    found: dict[int, list[Scored]] = {}
    order = sorted(range(len(views)), key=lambda index: sum(map(len, views[index].rows)))
    for start in range(0, len(order), BATCH):
        indices = [index for index in order[start : start + BATCH] if views[index].words]
        found |= dict(zip(indices, tag_batch(tagger, [views[index] for index in indices], pad), strict=True))
    return [found.get(index, []) for index in range(len(views))]


def tag_batch(tagger: Tagger, views: Sequence[View], pad: int) -> Iterator[list[Scored]]:
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
                mentions.append(Scored(span, math.exp(logarithm)))
            yield mentions
