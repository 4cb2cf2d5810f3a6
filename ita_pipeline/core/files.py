"""Read file stamps, and write files and folders atomically."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Text files that are read as a whole, such as a CoNLL file, may have this size.
MAX_TEXT_BYTES = 1 << 31

Result = TypeVar("Result")

# A file that changed this recently may change again within the same tick of its clock.
SETTLED_SECONDS, COARSE_SETTLED_SECONDS = 0.1, 2.5


def refuse_existing(to: Path) -> None:
    """Refuse to write where a file or a folder with content is.

    Raises:
        UsageError: `to` exists.
    """
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise UsageError(f"{to} already exists", "choose another path: --to …")


@contextmanager
def new_folder(to: Path) -> Generator[Path]:
    """Yield a temporary folder that takes the name `to` once everything in it is written."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        if to.is_dir():
            to.rmdir()
        folder.rename(to)


def join_inside(folder: Path, path: str) -> Path | None:
    """Return a path in a folder, None if the path as written leads out of it. Where links lead does not matter."""
    relative = Path(os.path.normpath(path))
    leads_out = relative.is_absolute() or relative.parts[:1] == (os.pardir,)
    return None if leads_out or "\0" in path else folder / relative


def is_small_file(path: Path, max_bytes: int) -> bool:
    """Whether a path, which may be impossible, is that of a regular file of at most this size."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes


class _ReadyFile(io.FileIO):
    """A file in non-blocking mode whose reads raise an error where they would have to wait."""

    def readinto(self, buffer: Buffer, /) -> int:
        return self._require(super().readinto(buffer))

    def read(self, size: int | None = -1, /) -> bytes:
        return self.readall() if size is None or size < 0 else self._require(super().read(size))

    def readall(self) -> bytes:
        return b"".join(iter(partial(self.read, 1 << 20), b""))

    def _require(self, result: Result | None) -> Result:
        if result is None:
            raise BlockingIOError(errno.EAGAIN, "it would have to be waited for")
        return result


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. A pipe or device of its name is refused, and nothing is waited for.

    Raises:
        OSError: it is no regular file, or cannot be opened. Reads raise it instead of waiting.
    """
    error = OSError(errno.EINVAL, "not a regular file", str(path))
    if not stat.S_ISREG(path.stat().st_mode):  # not even opened, since some devices act on that
        raise error
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # something else has taken the name meanwhile
        os.close(descriptor)
        raise error
    return io.BufferedReader(_ReadyFile(descriptor, "rb"), 1 << 18)


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file, as `open_regular` opens it.

    Raises:
        OSError: it is no regular file, cannot be read, or has more than `max_bytes` bytes.
    """
    with open_regular(path) as file:
        content = b"".join(read_chunks(file, max_bytes))
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", str(path))
    return content


def read_chunks(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Read an open file to its end, or to one byte more than `max_bytes`, also if it grows meanwhile.

    Raises:
        OSError: the file cannot be read, or would have to be waited for.
    """
    descriptor, remaining = file.fileno(), max_bytes + 1
    # Not more than the file has: a large buffer costs a 100 KB image a sixth of the time.
    size = min(max(os.fstat(descriptor).st_size + 1, 1 << 16), 1 << 20)
    while remaining and (chunk := os.read(descriptor, min(size, remaining))):
        remaining -= len(chunk)
        yield chunk


def file_stamp(status: os.stat_result) -> str:
    """Return a text that changes whenever the file changes."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def wait_until_settled(path: Path, seconds: float = SETTLED_SECONDS) -> tuple[bool, os.stat_result]:
    """Return whether a file is settled, and its status, after a short wait if it has changed just now."""
    status = path.stat()
    if not is_settled(status, seconds):
        time.sleep(seconds)
        status = path.stat()
    return is_settled(status, seconds), status


def is_settled(status: os.stat_result, seconds: float = SETTLED_SECONDS) -> bool:
    """Whether a file changed so long ago, at least `seconds`, that its next change will have another time."""
    is_coarse = status.st_mtime_ns % 1_000_000_000 == 0
    wait = COARSE_SETTLED_SECONDS if is_coarse else seconds
    return abs(time.time() - status.st_mtime) > wait


def is_older_than(path: Path, seconds: float) -> bool:
    """Whether the last change of a file is longer ago than this."""
    return time.time() - path.stat().st_mtime > seconds


def write_atomically(file: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that it holds either its old or its new content, whatever happens.

    Raises:
        OSError: the disk is full or fails; the old file is unchanged.
    """
    with open_atomically(file, mode) as opened:
        opened.write(text.encode())


@contextmanager
def open_atomically(file: Path, mode: int = 0o644) -> Generator[BinaryIO]:
    """Yield a temporary file that replaces `file` when it is complete, and otherwise leaves nothing.

    A device or a pipe, such as `/dev/null`, is written to directly.

    Raises:
        OSError: the disk is full or fails; the old file is unchanged.
    """
    if file.exists() and not file.is_file():
        with file.open("wb") as opened:
            yield opened
        return
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        temporary.chmod(mode)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_to_disk(file.parent)


def sync_to_disk(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
