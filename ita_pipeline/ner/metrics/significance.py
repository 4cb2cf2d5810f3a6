"""Tests of whether one tagger is better than another, or only suits the test posts by chance.

Both tests sample complete posts, since the mentions of a post are not independent. F1 is micro-averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ita_pipeline.corpus.posts import Span
from stages.base import Frozen
from stages.batching import batched

# Right, predicted and gold mentions of each post, (posts, 3).
Counts = np.ndarray[tuple[int, int], np.dtype[np.float64]]


SAMPLES = 10_000

SEED = 1

BATCH_ELEMENTS = 1_000_000


class Bootstrap(Frozen):
    """The difference in F1 over samples of the test posts drawn with replacement (Efron 1979; Koehn 2004).

    95 of 100 samples are between `low` and `high`. In the share `not_better` of all samples, B is no better than A.
    """

    samples: int
    low: float
    high: float
    not_better: float


class Randomization(Frozen):
    """Approximate randomization (Noreen 1989; Yeh 2000).

    `p` is the probability of a difference in F1 at least as large, in either direction, if each post's predictions
    came from A or B by chance.
    """

    samples: int
    p: float


class Difference(Frozen):
    """F1 of two taggers on the same posts; `difference` is `b` − `a`."""

    a: float
    b: float
    difference: float
    bootstrap: Bootstrap
    randomisation: Randomization


def compare(
    gold: Sequence[Sequence[Span]],
    a: Sequence[Sequence[Span]],
    b: Sequence[Sequence[Span]],
    samples: int = SAMPLES,
    seed: int = SEED,
) -> Difference:
    """Test whether B is better than A on the same posts.

    Raises:
        ValueError: there are no posts, or the numbers of predictions differ.
    """
    if not gold:
        raise ValueError("there are no posts to compare on")
    return compare_counts(count_mentions(gold, a), count_mentions(gold, b), samples, seed)


def compare_counts(first: Counts, second: Counts, samples: int, seed: int) -> Difference:
    """Test whether B scores higher than A, from their counts on the same posts (at least one)."""
    before, after = float(f1(first.sum(0))), float(f1(second.sum(0)))
    return Difference(
        a=before,
        b=after,
        difference=after - before,
        bootstrap=bootstrap(first, second, samples, seed),
        randomisation=randomize(first, second, samples, seed),
    )


def count_mentions(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> Counts:
    """Right, predicted and gold mentions of each post, (posts, 3)."""
    pairs = [(set(one), set(other)) for one, other in zip(gold, predicted, strict=True)]
    rows = [[len(wanted & guessed), len(guessed), len(wanted)] for wanted, guessed in pairs]
    return np.array(rows, np.float64)


def f1(totals: np.ndarray) -> np.ndarray:
    """Micro F1 of totals (…, 3); zero if no mention is right."""
    right, both = totals[..., 0], totals[..., 1] + totals[..., 2]
    return np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)


def bootstrap(a: Counts, b: Counts, samples: int, seed: int) -> Bootstrap:
    """Draw samples of the posts and measure the difference in F1."""
    random, posts = np.random.default_rng(seed), len(a)
    parts = []
    for size in batch_sizes(samples, posts):
        drawn = random.integers(posts, size=(size, posts)) + posts * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * posts).reshape(size, posts).astype(np.float64)
        parts.append(f1(times @ b) - f1(times @ a))
    differences = np.concatenate(parts)
    low, high = np.quantile(differences, [0.025, 0.975])
    return Bootstrap(samples=samples, low=float(low), high=float(high), not_better=float((differences <= 0).mean()))


def randomize(a: Counts, b: Counts, samples: int, seed: int) -> Randomization:
    """Exchange the predictions of random posts and measure how often the difference is as large."""
    random, posts = np.random.default_rng(seed), len(a)
    observed = abs(float(f1(b.sum(0)) - f1(a.sum(0))))
    extreme = 0
    for size in batch_sizes(samples, posts):
        # The counts that the posts with exchanged predictions take from A and give to B.
        moved = random.integers(2, size=(size, posts), dtype=np.bool_).astype(np.float64) @ (b - a)
        differences = f1(b.sum(0) - moved) - f1(a.sum(0) + moved)
        # Differences that are equal except for rounding count as equal.
        extreme += int((np.abs(differences) >= observed - 1e-12).sum())
    return Randomization(samples=samples, p=(extreme + 1) / (samples + 1))


def batch_sizes(samples: int, posts: int) -> Iterator[int]:
    """Divide the samples into batches of at most `BATCH_ELEMENTS` elements."""
    return map(len, batched(range(samples), max(1, BATCH_ELEMENTS // posts)))
