"""Batching helpers that stages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from stages.base import Failure, Input, Output


def split_batches(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Return batches of at most `size` inputs, each as soon as it is complete."""
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch


def map_successes(
    work: Callable[[list[Input]], Iterable[Output]], inputs: Sequence[Input | Failure]
) -> list[Output | Failure]:
    """Call `work` once for all inputs that are not failures, and return its outputs and the failures in order."""
    outputs = iter(work([item for item in inputs if not isinstance(item, Failure)]))
    return [item if isinstance(item, Failure) else next(outputs) for item in inputs]
