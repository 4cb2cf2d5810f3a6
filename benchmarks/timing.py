"""Two ways of doing one thing, timed in turn, so that a machine whose speed drifts is fair to both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Medians in seconds; `ratio` is the median of peer / ours, pair by pair."""

    name: str
    ours: float
    peer: float
    ratio: float

    def __str__(self) -> str:
        return f"{self.name:<58} {self.ours:>10.4f} {self.peer:>10.4f} {self.ratio:>7.2f}×"


HEADER = f"{'':<58} {'ours, s':>10} {'peer, s':>10} {'ratio':>8}"


def compare(name: str, ours: Callable[[], object], peer: Callable[[], object], pairs: int) -> Comparison:
    """Run both once to warm up, then `pairs` times in turn."""
    seconds: list[tuple[float, float]] = []
    for turn in range(pairs + 1):
        both = timed(ours), timed(peer)
        if turn:
            seconds.append(both)
    mine, theirs = zip(*seconds, strict=True)
    ratio = statistics.median(b / a for a, b in seconds)
    return Comparison(name, statistics.median(mine), statistics.median(theirs), ratio)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
