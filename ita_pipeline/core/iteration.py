"""Helpers for items: batches of those that have arrived, and calls in parallel."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import TypeVar

_Item = TypeVar("_Item")

_Result = TypeVar("_Result")


class _End:
    """The end of the items, with the error that caused it, if any."""

    error: BaseException | None = None


def as_available(items: Iterable[_Item], max_size: int) -> Iterator[list[_Item]]:
    """Yield lists of 1 to `max_size` items in order, each as soon as the next item would have to be waited for.

    An error of `items` is raised after the items that came before it.
    """
    waiting: queue.Queue[_Item | _End] = queue.Queue(maxsize=4 * max_size)

    def read() -> None:
        end = _End()
        try:
            for item in items:
                waiting.put(item)
        except BaseException as error:
            end.error = error
        waiting.put(end)

    threading.Thread(target=read, daemon=True).start()
    batch: list[_Item] = []
    while not isinstance(item := waiting.get(), _End):
        batch.append(item)
        if len(batch) == max_size or waiting.empty():
            yield batch
            batch = []
    if batch:
        yield batch
    if item.error is not None:
        raise item.error


def run_parallel(work: Callable[[_Item], _Result], items: Sequence[_Item], threads: int = 8) -> list[_Result]:
    """Call a function that waits for a network with each item, several at the same time; the results are in order.

    The first error ends it, and so does Ctrl-C, without a wait for calls under way: `concurrent.futures` would wait
    for them, perhaps for a server that never answers.
    """
    if len(items) < 2:
        return [work(item) for item in items]

    def run_one(number: int) -> tuple[int, _Result]:
        return number, work(items[number])

    with ThreadPool(min(threads, len(items))) as pool:
        results = dict(pool.imap_unordered(run_one, range(len(items))))
    return [results[number] for number in range(len(items))]
