"""The protocol of an image source, and random access to large files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from ita_pipeline.core.remote import summarize_error
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True, slots=True)
class Fetched:
    """The key of an image, and the stamp of its source at the time it was read.

    The stamp is empty if the source could change without changing its stamp. `content` holds the bytes of an image
    that had to be fetched whole.
    """

    stamp: str
    key: str
    content: bytes | None = None

    @classmethod
    def from_content(cls, stamp: str, content: bytes) -> Fetched:
        """Return the key of `content` together with the content."""
        return cls(stamp, hashlib.sha256(content).hexdigest(), content)


class ImageSource(Protocol):
    """Where one image comes from. Sources are small, frozen and picklable, to travel to workers."""

    __slots__ = ()

    @property
    def label(self) -> str:
        """The name shown to people. It contains no secret."""
        ...

    @property
    def name(self) -> str:
        """The last part of the label, like a file name."""
        return PurePosixPath(self.label).name

    def address(self, folder: str) -> bytes:
        """Return the name in the manifest: the same in every run, and without secrets.

        The address of a local file is its absolute path, and relative paths start from `folder`. No other address
        begins with a slash.
        """
        return self.label.encode("utf-8", "surrogateescape")

    @property
    def is_remote(self) -> bool:
        """Whether reading may wait for another machine."""
        return True

    def stamp(self) -> str:
        """Return the stamp, if it is available without reading or a request; otherwise an empty string."""
        return ""

    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched | None:
        """Return the key, or None if the source still has the stamp `known_stamp`.

        Raises:
            BadItemError: the source cannot be read, or has more than `max_bytes` bytes.
        """
        ...

    def read(self, max_bytes: int) -> bytes:
        """Return the bytes of the image.

        Raises:
            BadItemError: the source cannot be read, or has more than `max_bytes` bytes.
        """
        ...


class RandomAccessFile(ImageSource, Protocol):
    """A file that supports reading ranges, such as an archive with many images."""

    __slots__ = ()

    def size(self) -> int:
        """Return the size in bytes.

        Raises:
            OSError: the size is unknown.
        """
        ...

    def current_stamp(self) -> str:
        """Return the stamp, with a request if necessary; empty if a change could leave it as it is.

        Raises:
            OSError: the file cannot be examined.
        """
        ...

    def read_range(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, or fewer at the end of the file.

        Raises:
            OSError: the file cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class ContainedImage(ImageSource):
    """The base of images inside a container, such as an archive. The stamp is that of the container."""

    container: RandomAccessFile
    container_stamp: str

    @property
    def is_remote(self) -> bool:
        """Implement `ImageSource.is_remote`."""
        return self.container.is_remote

    def stamp(self) -> str:
        """Implement `ImageSource.stamp`."""
        return self.container_stamp

    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched:
        """Implement `ImageSource.fetch_if_changed`."""
        fetched = Fetched.from_content(self.container_stamp, self.read(max_bytes))
        return fetched if self.is_remote else Fetched(fetched.stamp, fetched.key)


class RangeReader(io.RawIOBase):
    """A seekable stream over a random-access file, for libraries that read archives and tables."""

    def __init__(self, file: RandomAccessFile) -> None:
        self._file = file
        self._size = file.size()
        self._position = 0

    def readable(self) -> bool:
        """Implement `io.RawIOBase.readable`."""
        return True

    def seekable(self) -> bool:
        """Implement `io.RawIOBase.seekable`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Implement `io.RawIOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("there is nothing before the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Implement `io.RawIOBase.readinto`."""
        view = memoryview(buffer).cast("B")
        size = min(len(view), max(0, self._size - self._position))
        content = self._file.read_range(self._position, size) if size else b""
        view[: len(content)] = content
        self._position += len(content)
        return len(content)


def open_buffered(file: RandomAccessFile, buffer_size: int) -> io.BufferedReader:
    """Open a file as a stream that reads `buffer_size` bytes at a time.

    Raises:
        OSError: the file cannot be read.
    """
    return io.BufferedReader(RangeReader(file), buffer_size)


def check_size(size: int, max_bytes: int) -> None:
    """Refuse an image that is too large.

    Raises:
        BadItemError: `size` exceeds `max_bytes`.
    """
    if size > max_bytes:
        raise BadItemError(f"{size:,} bytes exceed the limit of {max_bytes:,}", FailureKind.RESOURCE)


@contextmanager
def report_bad_item(problem: str) -> Generator[None]:
    """Turn every error of a library into a `BadItemError` that may pass; third-party code may raise anything."""
    try:
        yield
    except BadItemError:
        raise
    except Exception as error:
        raise BadItemError(f"{problem}: {summarize_error(error)}", FailureKind.TRANSIENT) from error
