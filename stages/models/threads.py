"""Work on several pictures at once, with one thread for each.

Two threads inside one small network wait for each other at every layer: beside a busy neighbour a picture then
takes several times as long. Two pictures in two threads do not wait for anything (docs/objects.md has both).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

Part = TypeVar("Part")

Result = TypeVar("Result")


class Share:
    """How many cores this process shall keep to; nothing is all that it may use."""

    cores: int | None = None


def cores() -> int:
    """How many this process may use, or its share of them."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return there if Share.cores is None else max(1, min(there, Share.cores))


def one_by_one(work: Callable[[list[Part]], list[Result]], parts: Sequence[Part], workers: int) -> list[Result]:
    """Do work, which takes several things, on one at a time in each of some threads, in which OpenCV and torch use
    no others. Afterwards they do as before. Results come in order.
    """
    found = libraries()
    with ExitStack() as stack:
        for before, set_count in found:
            stack.callback(set_count, before)
            set_count(1)
        # OpenMP has the number for each thread anew.
        start = partial(one_thread_each, [set_count for _, set_count in found])
        pool = stack.enter_context(ThreadPoolExecutor(workers, initializer=start))
        return [result for some in pool.map(lambda part: work([part]), parts) for result in some]


def one_thread_each(setters: Sequence[Callable[[int], None]]) -> None:
    for set_count in setters:
        set_count(1)


def libraries() -> list[tuple[int, Callable[[int], None]]]:
    """How many threads the libraries use that are loaded here, and what changes that. Loading torch only to ask it
    would take longer than many a picture.
    """
    import cv2

    found: list[tuple[int, Callable[[int], None]]] = [(cv2.getNumThreads(), cv2.setNumThreads)]
    if "torch" in sys.modules:
        import torch  # which waits where another thread is importing it just now

        found.append((torch.get_num_threads(), torch.set_num_threads))
    return found
