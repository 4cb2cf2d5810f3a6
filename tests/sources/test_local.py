"""Tests of files on this machine: their addresses, and files that cannot be read."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ita_pipeline.sources.local import LocalFile
from stages.base import BadItemError, FailureKind


def test_the_address_of_a_local_file_is_its_absolute_path():
    file = LocalFile(Path("deep/a.png"))
    assert file.address("/here") == b"/here/deep/a.png"
    assert LocalFile(Path("/x/a.png")).address("/here") == b"/x/a.png"
    assert pickle.loads(pickle.dumps(file)) == file  # noqa: S301
    assert (file.label, file.name, file.is_remote, file.stamp()) == ("deep/a.png", "a.png", False, "")


READERS = {
    "read": lambda file, max_bytes: file.read(max_bytes),
    "fetch_if_changed": lambda file, max_bytes: file.fetch_if_changed(max_bytes, ""),
}


@pytest.mark.parametrize("read", [*READERS.values(), lambda file, _: file.read_range(0, 9)])
def test_a_pipe_that_has_taken_the_place_of_a_file_does_not_block(read: Callable[[LocalFile, int], object]):
    os.mkfifo("a.png")
    with pytest.raises((BadItemError, OSError), match="not a regular file"):
        read(LocalFile(Path("a.png")), 100)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("read", READERS.values())
def test_a_link_to_the_messages_of_the_kernel_does_not_block(read: Callable[[LocalFile, int], object]):
    Path("a.png").symlink_to("/proc/kmsg")
    with contextlib.suppress(BadItemError):  # without an error, there are messages
        read(LocalFile(Path("a.png")), 10_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("read", READERS.values())
def test_a_file_with_more_than_its_size_says_is_read_up_to_the_limit(
    read: Callable[[LocalFile, int], object],
):
    Path("a.png").symlink_to("/proc/self/maps")  # its size is 0, as that of a file which grows while it is read
    with pytest.raises(BadItemError, match="101 bytes exceed the limit of 100") as caught:
        read(LocalFile(Path("a.png")), 100)
    assert caught.value.failure.kind is FailureKind.RESOURCE


def test_a_file_that_cannot_be_read_has_a_reason(tmp_path: Path):
    for read in (
        LocalFile(Path("gone")).read,
        lambda max_bytes: LocalFile(tmp_path).fetch_if_changed(max_bytes, ""),
    ):
        with pytest.raises(BadItemError) as caught:
            read(100)
        assert caught.value.failure.kind is FailureKind.TRANSIENT
    Path("large").write_bytes(b"x" * 101)
    for read in (
        LocalFile(Path("large")).read,
        lambda max_bytes: LocalFile(Path("large")).fetch_if_changed(max_bytes, ""),
    ):
        with pytest.raises(BadItemError) as caught:
            read(100)
        assert caught.value.failure.kind is FailureKind.RESOURCE
