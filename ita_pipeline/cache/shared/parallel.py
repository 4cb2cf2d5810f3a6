"""Calls in parallel, for work that waits for a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import TypeVar

THREADS = 8

Input = TypeVar("Input")

Output = TypeVar("Output")


def run_parallel(work: Callable[[Input], Output], inputs: Sequence[Input]) -> list[Output]:
    """Call a function with each input, several at the same time, and return the results in order.

    The first error ends it, and so does Ctrl-C, without a wait for calls under way: `concurrent.futures` would wait
    for them, perhaps for a server that never answers.
    """
    if len(inputs) < 2:
        return [work(value) for value in inputs]

    def run_one(number: int) -> tuple[int, Output]:
        return number, work(inputs[number])

    with ThreadPool(min(THREADS, len(inputs))) as pool:
        results = dict(pool.imap_unordered(run_one, range(len(inputs))))
    return [results[number] for number in range(len(inputs))]
