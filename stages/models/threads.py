"""Work on several images at once, with a single library thread for each.

Two threads inside one small network wait for each other at every layer, so on a busy machine an image takes several
times as long. Two images in two threads do not wait for each other (docs/objects.md has both measurements).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from stages.batching import Input, Output

_core_limit: int | None = None


def limit_cores(limit: int | None) -> int | None:
    """Set how many cores this process should use, None for all available ones, and return the previous limit."""
    global _core_limit
    previous, _core_limit = _core_limit, limit
    return previous


def count_cores() -> int:
    """Return how many cores this process may use: those available to it, within the limit of `limit_cores`."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return available if _core_limit is None else max(1, min(available, _core_limit))


def map_in_threads(
    work: Callable[[list[Input]], list[Output]], inputs: Sequence[Input], workers: int
) -> list[Output]:
    """Apply `work` to lists of one input each, in `workers` threads, and return the outputs in order.

    Meanwhile OpenCV and torch use a single thread per call. Their thread counts are restored afterwards.
    """
    with ExitStack() as stack:
        counts = list_thread_counts()
        for count, set_count in counts:
            stack.callback(set_count, count)

        def use_single_threads() -> None:
            # OpenMP keeps a count for each thread.
            for _, set_count in counts:
                set_count(1)

        use_single_threads()

        pool = stack.enter_context(ThreadPoolExecutor(workers, initializer=use_single_threads))
        return [output for outputs in pool.map(lambda one: work([one]), inputs) for output in outputs]


def list_thread_counts() -> list[tuple[int, Callable[[int], None]]]:
    """Return the thread count of each loaded library with the function that sets it.

    torch is skipped if it is not loaded: loading it takes longer than processing many images.
    """
    import cv2

    counts: list[tuple[int, Callable[[int], None]]] = [(cv2.getNumThreads(), cv2.setNumThreads)]
    if "torch" in sys.modules:
        import torch  # this import waits if another thread is importing torch now

        counts.append((torch.get_num_threads(), torch.set_num_threads))
    return counts
