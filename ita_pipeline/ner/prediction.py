"""Mentions from a trained tagger, with their probability. Gold labels are not used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.crf_inference import Lattice
from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.views import EncodedPost, View, collate, word_mask

BATCH_SIZE = 64


class Runtime(Protocol):
    """What computes a trained tagger; `ner.runtimes` has one for ONNX Runtime and one for torch."""

    @property
    def scheme(self) -> TagScheme:
        """The tag scheme."""
        ...

    @property
    def moves(self) -> np.ndarray:
        """The CRF's scores of moves between tags, (K + 1, K + 1), as `Lattice` takes them."""
        ...

    def emissions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores of every tag for every word, (B, L, K), from a batch of `collate`."""
        ...


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A mention and the probability, in 0..1, that the CRF gives to exactly this span and type."""

    span: Span
    score: float


@dataclass(frozen=True, slots=True)
class TaggedView:
    """The mentions that the tagger finds in a view, in order, and the probability of any other mention."""

    mentions: list[ScoredSpan]
    lattice: Lattice | None
    sentence: int
    scheme: TagScheme

    def probability(self, span: Span) -> float:
        """The probability that the CRF gives to exactly this span and type."""
        if self.lattice is None:
            return 0.0
        tags = self.scheme.encode([span], span.end)[span.start :]
        return math.exp(self.lattice.log_probability(self.sentence, span.start, tags))


def tag_views(tagger: Runtime, views: Sequence[View], pad: int) -> list[list[ScoredSpan]]:
    """Mentions of each view, in order. Views of similar length share a batch."""
    mentions: list[list[ScoredSpan]] = [[] for _ in views]
    for index, tagged in _tag_all(tagger, views, pad):
        mentions[index] = tagged.mentions
    return mentions


def decode_views(tagger: Runtime, views: Sequence[View], pad: int) -> list[TaggedView]:
    """Do what `tag_views` does for a moderate number of views, and keep the probabilities of all other mentions."""
    empty = TaggedView([], None, 0, tagger.scheme)
    tagged = dict(_tag_all(tagger, views, pad))
    return [tagged.get(index, empty) for index in range(len(views))]


def _tag_all(tagger: Runtime, views: Sequence[View], pad: int) -> Iterator[tuple[int, TaggedView]]:
    """Tag the views that have words, batch by batch; yield the index of each view."""
    order = sorted(range(len(views)), key=lambda index: views[index].length)
    for start in range(0, len(order), BATCH_SIZE):
        indices = [index for index in order[start : start + BATCH_SIZE] if views[index].positions]
        yield from zip(indices, _tag_batch(tagger, [views[index] for index in indices], pad), strict=True)


def _tag_batch(tagger: Runtime, views: Sequence[View], pad: int) -> Iterator[TaggedView]:
    if not views:
        return
    emissions = tagger.emissions(collate(views, pad)).astype(np.float64)
    lattice = Lattice(emissions, word_mask([len(view.positions) for view in views]), tagger.moves)
    scheme = tagger.scheme
    for sentence, tags in enumerate(lattice.best_paths()):
        mentions = []
        for span in scheme.decode(tags):
            log_probability = lattice.log_probability(sentence, span.start, tags[span.start : span.end])
            mentions.append(ScoredSpan(span, math.exp(log_probability)))
        yield TaggedView(mentions, lattice, sentence, scheme)


@dataclass(frozen=True, slots=True)
class ViewPredictions:
    """Mentions of every post in both views. Without contexts, I+T equals T."""

    text: list[list[ScoredSpan]]
    context: list[list[ScoredSpan]]


def predict_views(tagger: Runtime, posts: Sequence[EncodedPost], pad: int) -> ViewPredictions:
    """Mentions of all posts in both views."""
    text = tag_views(tagger, [post.text for post in posts], pad)
    views = {index: post.context for index, post in enumerate(posts) if post.context is not None}
    context = dict(zip(views, tag_views(tagger, list(views.values()), pad), strict=True))
    return ViewPredictions(text, [context.get(index, mentions) for index, mentions in enumerate(text)])
