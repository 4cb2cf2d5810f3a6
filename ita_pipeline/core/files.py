"""Read file stamps, and write files and folders atomically."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ita_pipeline.core.errors import UsageError


def refuse_existing(to: Path) -> None:
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise UsageError(f"{to} is there already", "name another place: --to …")


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A folder that is there when all of it is written, and not before."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        if to.is_dir():
            to.rmdir()
        folder.rename(to)


# A file that changed this shortly before it was looked at may change again within the same tick of its clock.
SETTLED_SECONDS, COARSE_SETTLED_SECONDS = 0.1, 2.5


def file_stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def wait_until_settled(path: Path) -> tuple[bool, os.stat_result]:
    """The state of a file, after a short wait where it changed just now, and whether it can be relied on."""
    status = path.stat()
    if not is_settled(status):
        time.sleep(SETTLED_SECONDS)
        status = path.stat()
    return is_settled(status), status


def is_settled(status: os.stat_result) -> bool:
    """Whether a file changed long enough ago for its next change to show in its times."""
    coarse = status.st_mtime_ns % 1_000_000_000 == 0
    wait = COARSE_SETTLED_SECONDS if coarse else SETTLED_SECONDS
    return abs(time.time() - status.st_mtime) > wait


def is_older_than(path: Path, seconds: float) -> bool:
    """Whether a file changed last longer ago than this."""
    return time.time() - path.stat().st_mtime > seconds


def write_atomically(file: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens.

    Raises:
        OSError: the disk is full or fails; the old file still stands.
    """
    with open_atomically(file) as opened:
        opened.write(text.encode())


@contextmanager
def open_atomically(file: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of another when it is complete, and else leaves nothing.

    Raises:
        OSError: the disk is full or fails; the old file still stands.
    """
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
