"""Scores of grounded mentions, after GMNER (Yu et al., ACL 2023), and the floors to read them by.

A triple of span, type and box is right if span and type are exact, and either both sides have no box, or the
predicted box overlaps one of the gold boxes by more than half of their union. EEG leaves the type out, MNER the
box. Positions identify a mention, never its words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ita_pipeline.corpus.posts import Box, Post, Span
from ita_pipeline.grounding.evidence import is_person
from ita_pipeline.ner.metrics.scores import Score
from stages.base import Frozen

MIN_OVERLAP = 0.5

# Prior boxes begin and end at multiples of this share of a picture's side.
_GRID = 1 / 8

Size = tuple[float, float]
"""Width and height of a picture in pixels."""


class GroundedScores(Frozen):
    """Exact-match scores: of spans and types, of spans and boxes, and of all three.

    `ratio` is how much of the tagger's F1 the boxes leave: the F1 of all three by that of spans and types.
    """

    mner: Score
    eeg: Score
    gmner: Score
    ratio: float


class Groundability(Frozen):
    """How well mentions are grounded whose spans and types are the gold ones.

    `accuracy` is the share of mentions that are rightly said to be in the picture, or not to be; `auroc` tells how
    well their probabilities rank them, None if that means nothing; `boxes` is the share with the right box or
    rightly none.
    """

    mentions: int
    accuracy: float
    auroc: float | None
    boxes: float


def iou(a: Box, b: Box) -> float:
    """The intersection of two boxes over their union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def agree(gold: Sequence[Box], predicted: Sequence[Box]) -> bool:
    """Whether a predicted box is right: both have none, or it overlaps any gold box by more than half."""
    if not gold or not predicted:
        return not gold and not predicted
    return any(iou(box, other) > MIN_OVERLAP for box in predicted for other in gold)


def are_known(post_gold: Iterable[Span] | None) -> bool:
    """Whether the boxes of a post's gold mentions are known; only such posts are scored."""
    return post_gold is not None and all(span.boxes is not None for span in post_gold)


def count_triples(gold: Sequence[Span], predicted: Sequence[Span]) -> tuple[int, int, int]:
    """Right, predicted and gold triples of a post."""
    return _count(gold, predicted, lambda span: span, with_boxes=True)


def score_grounded(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> GroundedScores:
    """Scores of predicted mentions, post by post; a mention's `boxes` are where it is, None means none.

    Raises:
        ValueError: the numbers of posts differ.
    """

    def score(identify: Callable[[Span], Hashable], with_boxes: bool) -> Score:
        counts = [_count(*pair, identify, with_boxes) for pair in zip(gold, predicted, strict=True)]
        return Score.of(*(sum(column) for column in zip(*counts, strict=True))) if counts else Score.of(0, 0, 0)

    mner, gmner = (score(lambda span: span, with_boxes) for with_boxes in (False, True))
    eeg = score(lambda span: (span.start, span.end), with_boxes=True)
    return GroundedScores(mner=mner, eeg=eeg, gmner=gmner, ratio=gmner.f1 / mner.f1 if mner.f1 else 0.0)


def _count(
    gold: Sequence[Span], predicted: Sequence[Span], identify: Callable[[Span], Hashable], with_boxes: bool
) -> tuple[int, int, int]:
    wanted = {identify(span): span.boxes or () for span in gold}
    guessed = {identify(span): span.boxes or () for span in predicted}
    right = sum(
        not with_boxes or agree(wanted[mention], boxes) for mention, boxes in guessed.items() if mention in wanted
    )
    return right, len(guessed), len(wanted)


def measure_groundability(
    gold: Sequence[Span], visible: Sequence[float], boxes: Sequence[Sequence[Box]]
) -> Groundability:
    """Measure probabilities and boxes of mentions with known gold boxes."""
    shown = [bool(span.boxes) for span in gold]
    right = sum((chance > 0.5) == is_shown for chance, is_shown in zip(visible, shown, strict=True))
    agreed = sum(agree(span.boxes or (), found) for span, found in zip(gold, boxes, strict=True))
    number = max(len(gold), 1)
    return Groundability(
        mentions=len(gold), accuracy=right / number, auroc=auroc(shown, visible), boxes=agreed / number
    )


def auroc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The chance that a true example has a higher score than a false one; equal scores count half."""
    positive = np.asarray(labels, bool)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return None
    _, inverse, counts = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


class TypePrior(Frozen, allow_inf_nan=False):
    """What is known of a type in training: how often it is in the picture, and a box, in shares of the picture.

    `hits` is how often that box is right if the mention is in the picture.
    """

    shown: float
    box: Box
    hits: float

    @property
    def gains(self) -> bool:
        """Whether this box for every mention of the type is right more often than no box."""
        return self.shown * self.hits > 1 - self.shown


def learn_priors(mentions: Iterable[tuple[Span, Size | None]]) -> dict[str, TypePrior]:
    """Find the box of each type that is right most often in pictures of known size. Unknown boxes are left out."""
    by_type: dict[str, list[tuple[Span, Size | None]]] = {}
    for span, size in mentions:
        if span.boxes is not None:
            by_type.setdefault(span.type, []).append((span, size))
    return {name: _learn_prior(members) for name, members in sorted(by_type.items())}


def _learn_prior(mentions: Sequence[tuple[Span, Size | None]]) -> TypePrior:
    shown = [(span.boxes, size) for span, size in mentions if span.boxes]
    relative = [
        [(x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]) for x0, y0, x1, y1 in boxes]
        for boxes, size in shown
        if size is not None and boxes is not None
    ]
    steps = np.arange(0, 1 + _GRID, _GRID)
    sides = [(low, high) for low in steps for high in steps if low < high]
    grid = np.array([(x0, y0, x1, y1) for x0, x1 in sides for y0, y1 in sides])
    hits, overlaps = np.zeros(len(grid)), np.zeros(len(grid))
    for boxes in relative:
        overlap = np.max([_overlap(grid, box) for box in boxes], axis=0)
        hits += overlap > MIN_OVERLAP
        overlaps += overlap
    best = int(np.lexsort((overlaps, hits))[-1])
    x0, y0, x1, y1 = map(float, grid[best])
    return TypePrior(
        shown=len(shown) / len(mentions),
        box=(x0, y0, x1, y1),
        hits=float(hits[best]) / len(relative) if relative else 0.0,
    )


def _overlap(grid: np.ndarray, box: Box) -> np.ndarray:
    low, high = np.maximum(grid[:, :2], box[:2]), np.minimum(grid[:, 2:], box[2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(grid[:, 2:] - grid[:, :2], axis=1) + (box[2] - box[0]) * (box[3] - box[1])
    return both / (areas - both)


NONE, PEOPLE, PRIOR = "none", "people only", "prior box"


@dataclass(frozen=True, slots=True)
class Floor:
    """A way to ground mentions that looks at no picture and reads no word.

    `none` gives no mention a box; `people only` gives all people the prior box of their type; `prior box` gives the
    mentions of each type its prior box if that is right more often than no box.
    """

    name: str
    priors: Mapping[str, TypePrior]

    def visible(self, span: Span) -> float:
        """The probability that a mention is in the picture, by its type."""
        prior = self.priors.get(span.type)
        if self.name == PEOPLE:
            return float(is_person(span.type))
        if self.name == PRIOR and prior is not None and prior.gains:
            return 1.0
        return 0.0

    def ground(self, spans: Iterable[Span], size: Size | None) -> list[Span]:
        """The mentions with their boxes in a picture of this size; of unknown size, a box is wrong."""
        width, height = size or (0.0, 0.0)
        grounded: list[Span] = []
        for span in spans:
            x0, y0, x1, y1 = self.priors[span.type].box if span.type in self.priors else (0.0, 0.0, 1.0, 1.0)
            box = (x0 * width, y0 * height, x1 * width, y1 * height)
            grounded.append(replace(span, boxes=(box,) if self.visible(span) else ()))
        return grounded


def floors(priors: Mapping[str, TypePrior]) -> list[Floor]:
    """All floors, the lowest first."""
    return [Floor(name, priors) for name in (NONE, PEOPLE, PRIOR)]


def measure_floor(floor: Floor, posts: Sequence[tuple[Post, Size | None]]) -> Groundability:
    """Measure a floor on the gold mentions of posts whose boxes are known."""
    gold = [span for post, _ in posts for span in post.gold or ()]
    grounded = [span for post, size in posts for span in floor.ground(post.gold or (), size)]
    return measure_groundability(
        gold, [floor.visible(span) for span in gold], [span.boxes or () for span in grounded]
    )
