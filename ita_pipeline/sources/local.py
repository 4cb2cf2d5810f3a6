"""Image source: a file on this machine."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.core.files import file_stamp, is_settled
from ita_pipeline.sources.base import Looked, Place, check_size
from stages.base import BadItemError, FailureKind

MOST_READ_AT_ONCE = 1 << 20


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
            return file_stamp(os.stat(self.path))  # noqa: PTH116
        except OSError:
            return ""

    def look(self, most: int, known: str) -> Looked:
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):  # a pipe or device would block a reader
                raise BadItemError("not a regular file", FailureKind.TRANSIENT)
            check_size(status.st_size, most)
            return Looked(file_stamp(status) if is_settled(status) else "", file_digest(self.path))
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
        return file_stamp(status) if is_settled(status) else ""

    def part(self, start: int, size: int) -> bytes:
        with self.path.open("rb", buffering=0) as opened:
            return os.pread(opened.fileno(), size, start)


def path_of(place: Place) -> Path | None:
    """The path of a picture that is a file on this machine."""
    return place.path if isinstance(place, LocalFile) else None


def file_digest(path: Path) -> str:
    found = hashlib.sha256()
    # Not `hashlib.file_digest`, whose buffer costs a picture of 100 KB a sixth of the time.
    with path.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        while part := opened.read(min(size + 1, MOST_READ_AT_ONCE)):
            found.update(part)
    return found.hexdigest()
