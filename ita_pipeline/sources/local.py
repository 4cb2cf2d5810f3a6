"""Image source: a file on this machine."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.core.files import file_stamp, is_settled
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
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe or device would block the reader
                raise BadItemError("not a regular file", FailureKind.TRANSIENT)
            check_size(status.st_size, max_bytes)
            return Fetched(file_stamp(status) if is_settled(status) else "", hash_file(self.path))
        except OSError as error:
            raise BadItemError(error.strerror or type(error).__name__, FailureKind.TRANSIENT) from error

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        try:
            check_size(self.path.stat().st_size, max_bytes)
            return self.path.read_bytes()
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
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, start)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content as hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    # `hashlib.file_digest` allocates a buffer that costs a 100 KB image a sixth of the time.
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while chunk := file.read(min(size + 1, 1 << 20)):
            digest.update(chunk)
    return digest.hexdigest()
