"""Image source: a file on this machine."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ita_pipeline.core.files import file_stamp, is_settled, open_regular, read_chunks
from ita_pipeline.sources.base import Fetched, RandomAccessFile, check_size
from stages.base import BadItemError, FailureKind


@dataclass(frozen=True, slots=True, order=True)
class LocalFile(RandomAccessFile):
    """A file on this machine. Its key is computed without keeping its content in memory."""

    path: Path

    @property
    def label(self) -> str:
        """Implement `ImageSource.label`."""
        return str(self.path)

    def address(self, folder: str) -> bytes:
        """Implement `ImageSource.address`."""
        text = str(self.path)
        return os.fsencode(text if text.startswith(os.sep) else f"{folder}{os.sep}{text}")

    @property
    def is_remote(self) -> bool:
        """Implement `ImageSource.is_remote`."""
        return False

    def stamp(self) -> str:
        """Implement `ImageSource.stamp`."""
        try:
            return file_stamp(os.stat(self.path))  # noqa: PTH116 (called a million times)
        except OSError:
            return ""

    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched:
        """Implement `ImageSource.fetch_if_changed`."""
        try:
            with open_regular(self.path) as file:
                status = os.fstat(file.fileno())
                check_size(status.st_size, max_bytes)
                return Fetched(file_stamp(status) if is_settled(status) else "", _hash_content(file, max_bytes))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise BadItemError(reason, FailureKind.TRANSIENT) from error

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        try:
            with open_regular(self.path) as file:
                check_size(os.fstat(file.fileno()).st_size, max_bytes)
                content = b"".join(read_chunks(file, max_bytes))
            check_size(len(content), max_bytes)
            return content
        except OSError as error:
            raise BadItemError(f"cannot be read: {error.strerror}", FailureKind.TRANSIENT) from error

    def size(self) -> int:
        """Implement `RandomAccessFile.size`."""
        return self.path.stat().st_size

    def current_stamp(self) -> str:
        """Implement `RandomAccessFile.current_stamp`."""
        status = self.path.stat()
        return file_stamp(status) if is_settled(status) else ""

    def read_range(self, start: int, size: int) -> bytes:
        """Implement `RandomAccessFile.read_range`."""
        with open_regular(self.path) as file:
            return os.pread(file.fileno(), size, start)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content as hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return _hash_content(file, size)
        except BadItemError as error:
            raise OSError(errno.EIO, "it grows while it is read", str(path)) from error


def _hash_content(file: BinaryIO, max_bytes: int) -> str:
    digest, size = hashlib.sha256(), 0
    for chunk in read_chunks(file, max_bytes):
        digest.update(chunk)
        size += len(chunk)
    check_size(size, max_bytes)
    return digest.hexdigest()


def join_recorded(folder: Path, path: str) -> Path | None:
    """Return the path that `datasets` recorded for a picture: in a folder, or among the library's downloads.

    Returns None for a path that leads elsewhere, which a dataset from another person may contain.
    """
    absolute = Path(os.path.normpath(folder.absolute() / path))
    if "\0" in path:
        return None
    if absolute.is_relative_to(os.path.normpath(folder.absolute())):
        return absolute
    from datasets import config  # pyright: ignore[reportMissingTypeStubs]
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = (str(config.HF_DATASETS_CACHE), str(config.DOWNLOADED_DATASETS_PATH), HF_HUB_CACHE)
    return absolute if any(absolute.is_relative_to(Path(cache).absolute()) for cache in caches) else None
