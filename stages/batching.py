"""Helpers for batches: fixed sizes, failures that pass through, and bisection of a batch that raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from stages.base import Failure, StageError

Output = TypeVar("Output")

Input = TypeVar("Input")

Error = TypeVar("Error", bound=Exception)


def batched(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Return batches of at most `size` inputs in order, each as soon as it is complete."""
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch


def map_successes(
    work: Callable[[list[Input]], Iterable[Output]], inputs: Sequence[Input | Failure]
) -> list[Output | Failure]:
    """Call `work` once for all inputs that are not failures, and return its outputs and the failures in order."""
    outputs = iter(work([item for item in inputs if not isinstance(item, Failure)]))
    return [item if isinstance(item, Failure) else next(outputs) for item in inputs]


def run_bisected(
    run: Callable[[Sequence[Input]], Sequence[Output]],
    items: Sequence[Input],
    handle_error: Callable[[Input, Error], Output],
    error_type: type[Error],
) -> list[Output]:
    """Run a batch; halve a batch that raises until the item at fault is alone, and handle its error.

    Raises:
        StageError: `run` raised it. It concerns the stage, not an item, so the batch is not halved.
    """
    if not items:
        return []
    try:
        return list(run(items))
    except StageError:
        raise
    except error_type as error:
        if len(items) == 1:
            return [handle_error(items[0], error)]
    middle = len(items) // 2
    first_half = run_bisected(run, items[:middle], handle_error, error_type)
    return first_half + run_bisected(run, items[middle:], handle_error, error_type)
