"""Work in threads with one thread each: results in order, counts as they were, and no library loaded for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import cv2
import pytest
import torch

from stages.models.threads import count_cores, limit_cores, map_in_threads


def counts() -> tuple[int, int]:
    return cv2.getNumThreads(), torch.get_num_threads()


@pytest.fixture
def several() -> Iterator[tuple[int, int]]:
    before = counts()
    cv2.setNumThreads(3)
    torch.set_num_threads(2)
    yield counts()
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


def test_results_are_in_order_and_each_thread_uses_one_library_thread(several: tuple[int, int]):
    meet = threading.Barrier(2, timeout=30)

    def doubled(some: list[int]) -> list[int]:
        meet.wait()
        assert counts() == (1, 1)
        return [2 * number for number in some]

    assert map_in_threads(doubled, range(8), 2) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert counts() == several


def test_thread_counts_are_restored_after_an_error(several: tuple[int, int]):
    def broken(some: list[int]) -> list[int]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        map_in_threads(broken, range(3), 2)
    assert counts() == several


def test_torch_is_not_loaded_to_set_its_threads():
    script = """
import sys
from stages.models.threads import map_in_threads
assert map_in_threads(list, [1, 2, 3], 2) == [1, 2, 3]
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_an_import_of_torch_in_another_thread_is_waited_for():
    script = """
import threading
from collections.abc import Iterator
from stages.models.threads import list_thread_counts
loading = threading.Thread(target=__import__, args=["torch"])
loading.start()
while loading.is_alive():
    list_thread_counts()
print(len(list_thread_counts()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@pytest.fixture
def unlimited() -> Iterator[None]:
    before = limit_cores(None)
    yield
    limit_cores(before)


def test_the_core_limit_is_respected(unlimited: None):
    available = count_cores()
    limit_cores(1)
    assert count_cores() == 1
    assert limit_cores(10**6) == 1
    assert count_cores() == available
