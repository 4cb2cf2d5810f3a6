"""Files and folders are written whole or not at all, and a file that has just changed is not settled."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import (
    is_settled,
    new_folder,
    open_atomically,
    open_regular,
    read_regular,
    refuse_existing,
    write_atomically,
)


def test_a_file_keeps_its_old_content_if_writing_fails(tmp_path: Path):
    file = tmp_path / "a"
    write_atomically(file, "old")

    def write_half() -> None:
        with open_atomically(file) as opened:
            opened.write(b"half of the new")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert file.read_text() == "old"
    write_atomically(file, "new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_folder_appears_complete_or_not_at_all(tmp_path: Path):
    to = tmp_path / "deep" / "folder"

    def write_half() -> None:
        with new_folder(to) as folder:
            (folder / "a").write_text("a")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_half()
    assert list(to.parent.iterdir()) == []
    with new_folder(to) as folder:
        (folder / "a").write_text("a")
        assert not to.exists()
    assert [path.name for path in to.iterdir()] == ["a"]
    assert list(to.parent.iterdir()) == [to]


def test_only_a_missing_path_or_an_empty_folder_may_be_written(tmp_path: Path):
    refuse_existing(tmp_path / "gone")
    refuse_existing(tmp_path)
    (tmp_path / "a").write_text("a")
    for existing in (tmp_path, tmp_path / "a"):
        with pytest.raises(UsageError, match="already exists"):
            refuse_existing(existing)


def test_a_file_settles_after_a_tick_of_its_clock(tmp_path: Path):
    file, now = tmp_path / "a", time.time()
    file.write_text("a")
    for age, settled in ((0.0, False), (5.0, True), (-5.0, True)):
        os.utime(file, (now, now - age))
        assert is_settled(file.stat()) is settled
    os.utime(file, (now, int(now) - 1))  # a clock that counts whole seconds ticks more slowly
    assert not is_settled(file.stat())


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "page")
    assert os.read(reader, 100) == b"page"
    assert pipe.is_fifo()
    os.close(reader)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "stage.json"
    write_atomically(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_read_as_a_whole_up_to_a_limit(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"x" * 100)
    assert read_regular(file, 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than 99 bytes") as caught:
        read_regular(file, 99)
    assert caught.value.errno == errno.EFBIG
    with open_regular(file) as opened:
        assert (opened.read(3), opened.seek(50), opened.read()) == (b"xxx", 50, b"x" * 50)


def test_nothing_waits_for_a_file_that_blocks(tmp_path: Path):
    """A terminal answers as `/proc/kmsg` does, which only root may read: there is nothing yet."""
    controller, terminal = os.openpty()
    os.set_blocking(terminal, False)
    file = open_regular(Path(__file__))
    os.dup2(terminal, file.fileno())
    for read in (file.readline, file.read, lambda: file.read(10), lambda: list(file)):
        with pytest.raises(BlockingIOError):
            read()
    file.close()
    for descriptor in (controller, terminal):
        os.close(descriptor)
