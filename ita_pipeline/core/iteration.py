"""Batching helpers: fixed-size batches, and batches of whatever has arrived."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Element = TypeVar("Element")


def batched(elements: Iterable[Element], size: int) -> Iterator[list[Element]]:
    rest = iter(elements)
    while group := list(islice(rest, size)):
        yield group


class End:
    """What comes after the last thing: nothing, or the error that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def as_available(elements: Iterable[Element], most: int) -> Iterator[list[Element]]:
    """Lists of 1 to `most` things in order, each handed over as soon as the next thing is not there yet.

    An error of the source is raised after the things that came before it.
    """
    waiting: queue.Queue[Element | End] = queue.Queue(maxsize=4 * most)

    def read() -> None:
        try:
            for thing in elements:
                waiting.put(thing)
        except BaseException as error:
            waiting.put(End(error))
        else:
            waiting.put(End())

    threading.Thread(target=read, daemon=True).start()
    end: End | None = None
    while end is None:
        group: list[Element] = []
        found = waiting.get()
        while not isinstance(found, End):
            group.append(found)
            if len(group) == most or waiting.empty():
                break
            found = waiting.get()
        end = found if isinstance(found, End) else None
        if group:
            yield group
    if end.error is not None:
        raise end.error
