"""The protocol of an image source, and how parts of large files are read."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Protocol

from stages.base import BadItemError, FailureKind


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
