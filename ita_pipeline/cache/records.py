"""Segments: append-only JSONL files, each written by one process, each line with its own check sum.

A line is plain JSON for any other program. Its last member, `crc`, is the CRC-32 of all bytes of the line
before that member, so a line is checked without being parsed.

A segment's name ends in `.g2.jsonl`, `.g3.jsonl`, … where it was written to replace earlier results under the
same key (`--refresh`, `--retry-failed`): a later generation outranks an earlier one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.files import sync_folder
from stages.base import Failure, FailureKind, Value

CRC_START = b', "crc": "'

CRC_LENGTH = len(b', "crc": "01234567"}')

LONGEST_LINE = 64 * 1024 * 1024

# A segment of so many bytes is closed, and another begun.
LARGE = 64 * 1024 * 1024

# One below this is small; when so many of one generation have come together, they are made one.
SMALL = 4 * 1024 * 1024

MANY = 32

# What `SegmentWriter` names its files; nothing else in a folder is a segment.
NAME = re.compile(r"[A-Za-z0-9]{1,24}-[0-9]{1,20}-[0-9a-f]{12}(\.g[0-9]{1,6})?\.jsonl")

MEND = "ita cache compact --drop-damaged keeps every good line; what the others held is then computed anew"

SECONDS = b', "seconds": '

IMAGE = re.compile(rb'^\{"image": "([^"\\]*)"')

VALUE = re.compile(IMAGE.pattern + rb', "value": ')


@dataclass(frozen=True, slots=True)
class Record:
    """What one stage said of one image, and how long that took."""

    image: str
    result: Value | Failure
    seconds: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a segment without its newline, and its place in the file in bytes; `number` counts from 1."""

    number: int
    start: int
    end: int
    content: bytes

    @property
    def good(self) -> bool:
        return checked(self.content)

    @property
    def image(self) -> str:
        """The image that the line speaks of, or nothing where it is too damaged to say; see `good`."""
        found = IMAGE.match(self.content)
        if found:
            return found[1].decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(self.content)["image"])
        return ""

    @property
    def failure(self) -> FailureKind | None:
        """How the image failed, or nothing where the line holds a value; of a good line."""
        if VALUE.match(self.content):
            return None
        failure = json.loads(self.content).get("failure")
        return FailureKind(failure["kind"]) if failure else None

    @property
    def seconds(self) -> float:
        """The seconds that a good line records, found without parsing the value."""
        start = self.content.rfind(SECONDS)
        return float(self.content[start + len(SECONDS) : -CRC_LENGTH]) if start >= 0 else 0.0


def encode(record: Record) -> bytes:
    """A record as its line, newline included."""
    name = "failure" if isinstance(record.result, Failure) else "value"
    members = {
        "image": record.image,
        name: record.result.model_dump(mode="json"),
        "seconds": round(record.seconds, 4),
    }
    return signed(members) + b"\n"


def signed(members: dict[str, Any]) -> bytes:
    """The members of a line as JSON, closed by their check sum."""
    body = json.dumps(members).encode()[:-1]
    return body + b', "crc": "%08x"}' % zlib.crc32(body)


def checked(line: bytes) -> bool:
    """Whether a line, without its newline, is as it was written."""
    body, end = line[:-CRC_LENGTH], line[-CRC_LENGTH:]
    return end == b'%b%08x"}' % (CRC_START, zlib.crc32(body))


def decode(line: bytes, value_type: type[Value]) -> Record:
    """The record of a checked line.

    Raises:
        ValueError: the line does not hold a record of this type.
    """
    try:
        members: dict[str, Any] = json.loads(line)
        failure = members.get("failure")
        result = Failure.model_validate(failure) if failure else value_type.model_validate(members["value"])
        return Record(image=members["image"], result=result, seconds=members["seconds"])
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record of {value_type.__name__}: {error}") from error


def scan(opened: BinaryIO, start: int = 0, number: int = 0) -> Iterator[Line]:
    """The whole lines of a segment from a place that follows `number` lines, good ones and damaged ones.

    A torn last line, which is what a crash leaves, is left out.
    """
    opened.seek(start)
    while line := opened.readline(LONGEST_LINE):
        whole = line.endswith(b"\n")
        if not whole and len(line) < LONGEST_LINE:
            return
        number += 1
        end = start + len(line)
        yield Line(number, start, end, line[:-1] if whole else line)
        start = end


def good_lines(path: Path) -> Iterator[Line]:
    """The lines of a segment, all of them as they were written.

    Raises:
        CorruptCacheError: a line that was written whole has changed since.
    """
    with path.open("rb") as opened:
        for line in scan(opened):
            if not line.good:
                raise damaged(path, line.number)
            yield line


def records(path: Path, value_type: type[Value]) -> Iterator[Record]:
    """The records of a segment in the order written.

    Raises:
        CorruptCacheError: a line is damaged, or holds something else than this stage's records.
    """
    for line in good_lines(path):
        try:
            yield decode(line.content, value_type)
        except ValueError as error:
            raise damaged(path, line.number) from error


def damaged(path: Path | str, number: int) -> CorruptCacheError:
    return CorruptCacheError(
        f"the cache is damaged: {path}, line {number}, is not what was written there",
        MEND,
    )


def generation(path: Path) -> int:
    """1 for a segment of first results, more where it replaces earlier ones."""
    mark = path.suffixes[-2] if len(path.suffixes) > 1 else ""
    return int(mark[2:]) if re.fullmatch(r"\.g[0-9]{1,6}", mark) else 1


class SegmentWriter:
    """Appends records to a segment of its own; the file appears with the first record.

    A segment that has grown large, or is older than `oldest` seconds, is closed before the next batch, which goes
    into a new one. `closed` is told of each segment to which nothing more will be appended.
    """

    def __init__(
        self,
        folder: Path,
        generation: int = 1,
        closed: Callable[[Path], None] | None = None,
        oldest: float | None = None,
    ) -> None:
        self.folder, self.generation = folder, generation
        self.closed, self.oldest = closed, oldest
        self.path = self.new_path()
        self.descriptor: int | None = None
        self.size, self.begun = 0, 0.0

    def new_path(self) -> Path:
        mark = f".g{self.generation}" if self.generation > 1 else ""
        return self.folder / f"{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{mark}.jsonl"

    def append(self, batch: Sequence[Record]) -> None:
        """Write a batch; when this returns, the batch survives a crash.

        Raises:
            OSError: the disk is full or fails. The batch may then be there in part; its torn end is ignored, and
                nothing more can be appended to this segment.
        """
        self.append_lines(b"".join(encode(record) for record in batch))

    def append_lines(self, lines: bytes) -> None:
        """As `append`, for lines already encoded, each with its newline."""
        if not lines:
            return
        if self.descriptor is not None and self.full:
            self.close()
            self.path = self.new_path()
        if self.descriptor is None:
            self.descriptor = self.create()
            self.size, self.begun = 0, time.monotonic()
        self.size += len(lines)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(self.descriptor)
        except OSError as error:
            self.close()
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    @property
    def full(self) -> bool:
        return self.size >= LARGE or (self.oldest is not None and time.monotonic() - self.begun > self.oldest)

    def create(self) -> int:
        if self.path.exists():  # an earlier write failed: what follows must not be glued to its torn end
            raise OSError(f"{self.path} was given up after a failed write")
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            hold(descriptor)
            sync_folder(self.path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def close(self) -> None:
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)
            if self.closed is not None:
                self.closed(self.path)


def hold(descriptor: int) -> None:
    """Mark a segment as being written, until its process ends, for those who tidy up. Nothing else needs this."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def being_written(path: Path) -> bool:
    """Whether some process on this machine still appends to a segment."""
    try:
        import fcntl
    except ImportError:
        return False
    with path.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def host_name() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:24] or "host"
