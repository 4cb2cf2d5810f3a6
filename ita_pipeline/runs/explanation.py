"""Explanations: what the tagger finds in a post without each context, object, OCR line and caption.

Each part is switched off alone, and the post is tagged again with all others. Nothing is approximated; but parts
that say the same can stand in for each other, so that none of them seems to matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ita_pipeline.corpus.contexts import ContextConfig, ContextPiece, join_pieces
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.prediction import ScoredSpan, TaggedView
from ita_pipeline.runs.predictions import Mention, Prediction
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE

Decode = Callable[[Sequence[tuple[Post, tuple[str, ...]]]], list[TaggedView]]
"""Tags posts, each given with its contexts, and keeps the probabilities of all mentions."""


@dataclass(frozen=True, slots=True)
class ExplanationInput:
    """A post and the pieces of its contexts; `failed` is the reason if contexts are missing."""

    post: Post
    pieces: tuple[ContextPiece, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """What the tagger finds without one part of the contexts.

    The part is an object, an OCR line, a caption or another text; or, if `text` is empty, the whole context; or, if
    `context` is empty too, all contexts, which leaves the view T. `pieces` are the positions of its pieces in the
    context, and `scores` the probabilities of the explanation's mentions, in their order.
    """

    context: str
    text: str
    pieces: tuple[int, ...]
    mentions: tuple[Mention, ...]
    scores: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the part as `ita.prediction/1` contains it."""
        mentions, scores = [one.to_json() for one in self.mentions], [round(score, 4) for score in self.scores]
        return asdict(self) | {"mentions": mentions, "scores": scores}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction, and what the tagger finds without each part of the contexts.

    `mentions` are those of the prediction, and those found only without some part; their scores are the
    probabilities with all contexts. The first part of `without` is the whole of the contexts, if there are any.
    """

    prediction: Prediction
    mentions: tuple[Mention, ...]
    without: tuple[SwitchOff, ...]

    def with_boxes(self, found: tuple[Mention, ...]) -> Explanation:
        """The explanation of a prediction whose mentions have been grounded."""
        prediction = replace(self.prediction, mentions=found)
        return replace(self, prediction=prediction, mentions=(*found, *self.mentions[len(found) :]))

    def to_json(self) -> dict[str, Any]:
        """Return the prediction in the schema `ita.prediction/1`, with the field `explanation`."""
        explanation = {
            "mentions": [mention.to_json() for mention in self.mentions],
            "without": [part.to_json() for part in self.without],
        }
        return self.prediction.to_json() | {"explanation": explanation}


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is switched off, and the contexts that remain."""

    context: str
    text: str
    pieces: tuple[int, ...]
    contexts: tuple[str, ...]


def explain_posts(
    inputs: Sequence[ExplanationInput], config: ContextConfig, decode: Decode, min_confidence: float = 0.0
) -> list[Explanation]:
    """Explain posts; the posts without each part are tagged in one batch.

    Mentions less probable than `min_confidence` are left out.
    """
    contexts = [join_pieces(item.pieces, config) for item in inputs]
    parts = [list(_list_parts(item.pieces, config)) for item in inputs]
    variants = [
        [(item.post, texts), *((item.post, part.contexts) for part in of_post)]
        for item, texts, of_post in zip(inputs, contexts, parts, strict=True)
    ]
    tagged = iter(decode([variant for of_post in variants for variant in of_post]))
    return [
        _explain(item, texts, of_post, list(itertools.islice(tagged, 1 + len(of_post))), min_confidence)
        for item, texts, of_post in zip(inputs, contexts, parts, strict=True)
    ]


def _list_parts(pieces: Sequence[ContextPiece], config: ContextConfig) -> Iterator[_Part]:
    """List all contexts together, each context, and each group of pieces; no two of them have the same pieces."""
    if not pieces:
        return
    yield _Part("", "", (), ())
    contexts = [list(members) for _, members in itertools.groupby(pieces, lambda piece: piece.context)]
    for members in contexts:
        groups = [list(group) for _, group in itertools.groupby(members, lambda piece: piece.group)]
        if len(contexts) > 1 and len(groups) > 1:
            yield _switch_off(pieces, members, "", config)
        if len(contexts) > 1 or len(groups) > 1:
            for group in groups:
                text = " ".join(join_pieces(group, config))
                if text:  # and not only invisible characters
                    yield _switch_off(pieces, group, text, config)


def _switch_off(
    pieces: Sequence[ContextPiece], off: Sequence[ContextPiece], text: str, config: ContextConfig
) -> _Part:
    remaining = join_pieces((piece for piece in pieces if piece not in off), config)
    return _Part(off[0].context, text, tuple(piece.position for piece in off), remaining)


def _explain(
    item: ExplanationInput,
    contexts: tuple[str, ...],
    parts: Sequence[_Part],
    tagged: Sequence[TaggedView],
    min_confidence: float,
) -> Explanation:
    """Explain a post by its tagged views: with all contexts first, and then without each part."""

    def mentions(spans: Sequence[ScoredSpan]) -> tuple[Mention, ...]:
        return tuple(Mention.from_scored(item.post, span) for span in spans if span.score >= min_confidence)

    found = [[one.span for one in view.mentions if one.score >= min_confidence] for view in tagged]
    spans: list[Span] = list(dict.fromkeys(span for of_view in found for span in of_view))
    view = TEXT_AND_IMAGE if contexts else TEXT
    prediction = Prediction(item.post, view, contexts, mentions(tagged[0].mentions), item.failed)
    without = [
        SwitchOff(
            part.context,
            part.text,
            part.pieces,
            mentions(view.mentions),
            tuple(view.probability(span) for span in spans),
        )
        for part, view in zip(parts, tagged[1:], strict=True)
    ]
    others = [ScoredSpan(span, tagged[0].probability(span)) for span in spans[len(found[0]) :]]
    missed = tuple(Mention.from_scored(item.post, scored) for scored in others)
    return Explanation(prediction, (*prediction.mentions, *missed), tuple(without))
