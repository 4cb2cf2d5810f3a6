"""Work on several pictures at once, with one thread for each.

Two threads inside one small network wait for each other at every layer: beside a busy neighbour a picture then
takes several times as long. Two pictures in two threads do not wait for anything (docs/objects.md has both).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """Do work, which takes several things, on one at a time in each of some threads, in which torch and OpenCV use
    no others. Afterwards they do as before. Results come in order.
    """
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        # OpenMP has the number for each thread anew.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [result for some in pool.map(lambda part: work([part]), parts) for result in some]
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
