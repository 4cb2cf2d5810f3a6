"""Tests of batches of the items that have arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.iteration import as_available, run_parallel


@given(st.lists(st.integers(), max_size=40), st.integers(1, 7))
def test_batches_of_available_items_keep_all_items_in_order(things: list[int], most: int):
    groups = list(as_available(iter(things), most))
    assert [thing for group in groups for thing in group] == things
    assert all(1 <= len(group) <= most for group in groups)


def test_items_of_a_slow_source_arrive_one_by_one():
    answered = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert answered.wait(10), "the first thing was kept back until the second came"
        yield 2

    groups = as_available(slow(), 64)
    assert next(groups) == [1]
    answered.set()
    assert next(groups) == [2]
    assert list(groups) == []


def test_an_error_comes_after_the_items_before_it():
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    groups = as_available(broken(), 1)
    assert next(groups) == [1]
    with pytest.raises(ValueError, match="line 2"):
        next(groups)


def test_parallel_calls_keep_their_order_and_stop_at_the_first_error():
    assert run_parallel(lambda number: number * 2, list(range(50))) == list(range(0, 100, 2))
    assert run_parallel(str, []) == []

    def fail(number: int) -> int:
        if number == 7:
            raise OSError("seven")
        return number

    with pytest.raises(OSError, match="seven"):
        run_parallel(fail, list(range(50)))
