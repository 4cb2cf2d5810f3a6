"""Batching helpers: fixed-size batches, and batches of whatever has arrived."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of `size` items in order; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


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
