"""Where pictures lie: what a person calls a place, what the manifest knows it by, and how its bytes are read."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.cache.stamps import settled, stamp
from stages.base import BadItemError, FailureKind

MOST_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture's key, and the stamp of its place when it was read: empty where a change could hide behind it.

    `content` are its bytes where they had to be fetched whole.
    """

    stamp: str
    key: str
    content: bytes | None = None


class Place(Protocol):
    """Small, frozen and picklable, since it travels to whoever looks at the picture."""

    @property
    def label(self) -> str:
        """What a person calls it; it holds no secret."""
        ...

    @property
    def name(self) -> str:
        """The last part of the label, as a file has it."""
        ...

    def address(self, here: str) -> bytes:
        """What the manifest knows it by: the same on every run, and without a secret. That of a file on this
        machine is its absolute path; no other begins with a slash. Relative paths start from `here`.
        """
        ...

    @property
    def far(self) -> bool:
        """Whether reading it may mean waiting for another machine."""
        ...

    def stamp(self) -> str:
        """How it stands, as far as that is told without reading or asking; empty where it is not."""
        ...

    def look(self, most: int, known: str) -> Looked | None:
        """Its key; or nothing where it says that it stands as it did under the stamp `known`.

        Raises:
            BadItemError: it cannot be read, or has more than `most` bytes.
        """
        ...

    def read(self, most: int) -> bytes:
        """
        Raises:
            BadItemError: it cannot be read, or has more than `most` bytes.
        """
        ...


class File(Place, Protocol):
    """A place that may be large and hold many pictures, such as an archive; its parts can be read by themselves."""

    def size(self) -> int:
        """
        Raises:
            OSError: it cannot be told.
        """
        ...

    def standing(self) -> str:
        """A stamp of how it stands now, be it by asking; empty where a change could hide behind it.

        Raises:
            OSError: it cannot be told.
        """
        ...

    def part(self, start: int, size: int) -> bytes:
        """So many bytes from there on, or fewer where it ends before.

        Raises:
            OSError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, order=True)
class LocalFile:
    """A file on this machine. It is never kept in memory for the sake of its key."""

    path: Path

    @property
    def label(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    def address(self, here: str) -> bytes:
        text = str(self.path)
        return os.fsencode(text if text.startswith(os.sep) else f"{here}{os.sep}{text}")

    @property
    def far(self) -> bool:
        return False

    def stamp(self) -> str:
        try:
            return stamp(os.stat(self.path))  # noqa: PTH116
        except OSError:
            return ""

    def look(self, most: int, known: str) -> Looked:
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe or device would block a reader
                raise BadItemError("not a regular file", FailureKind.TRANSIENT)
            check_size(status.st_size, most)
            return Looked(stamp(status) if settled(status) else "", file_digest(self.path))
        except OSError as error:
            raise BadItemError(error.strerror or type(error).__name__, FailureKind.TRANSIENT) from error

    def read(self, most: int) -> bytes:
        try:
            check_size(self.path.stat().st_size, most)
            return self.path.read_bytes()
        except OSError as error:
            raise BadItemError(f"cannot be read: {error.strerror}", FailureKind.TRANSIENT) from error

    def size(self) -> int:
        return self.path.stat().st_size

    def standing(self) -> str:
        status = self.path.stat()
        return stamp(status) if settled(status) else ""

    def part(self, start: int, size: int) -> bytes:
        with self.path.open("rb", buffering=0) as opened:
            return os.pread(opened.fileno(), size, start)


def path_of(place: Place) -> Path | None:
    """The path of a picture that is a file on this machine."""
    return place.path if isinstance(place, LocalFile) else None


class Parts(io.RawIOBase):
    """A file to be read here and there, as archives and tables are, whatever it lies on."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.length = file.size()
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.length}[whence]
        if base + offset < 0:
            raise OSError("there is nothing before the start")
        self.position = base + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self.length - self.position))
        found = self.file.part(self.position, wanted) if wanted else b""
        buffer[: len(found)] = found
        self.position += len(found)
        return len(found)


def opened(file: File, buffered: int) -> io.BufferedReader:
    """A file whose bytes come `buffered` at once.

    Raises:
        OSError: it cannot be read.
    """
    return io.BufferedReader(Parts(file), buffered)


def check_size(size: int, most: int) -> None:
    """
    Raises:
        BadItemError: it is more.
    """
    if size > most:
        raise BadItemError(f"{size:,} bytes are more than {most:,}", FailureKind.RESOURCE)


def looked(stamp: str, content: bytes) -> Looked:
    """What was fetched, whole."""
    return Looked(stamp, hashlib.sha256(content).hexdigest(), content)


def file_digest(path: Path) -> str:
    found = hashlib.sha256()
    # Not `hashlib.file_digest`, whose buffer costs a picture of 100 KB a sixth of the time.
    with path.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        while part := opened.read(min(size + 1, MOST_READ_AT_ONCE)):
            found.update(part)
    return found.hexdigest()
