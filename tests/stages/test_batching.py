"""Helpers for batches: sizes, failures that pass through, and bisection."""

from __future__ import annotations

from collections.abc import Iterator

from stages.base import Failure, FailureKind
from stages.batching import batched, map_successes

FAILURE = Failure(kind=FailureKind.PERMANENT, reason="broken")


def test_all_batches_but_the_last_have_the_size():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


def test_a_batch_takes_no_more_inputs_than_it_needs():
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(4):
            taken.append(number)
            yield number

    assert next(batched(numbers(), 2)) == [0, 1]
    assert taken == [0, 1]


def test_failures_keep_their_positions():
    calls: list[list[int]] = []

    def double(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    assert map_successes(double, [1, FAILURE, 3]) == [2, FAILURE, 6]
    assert map_successes(double, [FAILURE]) == [FAILURE]
    assert calls == [[1, 3], []]
