"""Records and the segments that contain them: append-only JSONL files, each written by one process.

A line is plain JSON for any other program. Its last member, `crc`, is the CRC-32 of all bytes of the line
before that member, so a line is checked without being parsed.

A segment's name ends in `.g2.jsonl`, `.g3.jsonl`, … where its records replace earlier ones under the same key
(`--refresh`, `--retry-failed`): of two records of an image, that of the later generation counts.
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
from typing import Any, BinaryIO, NamedTuple

from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.files import sync_to_disk
from stages.base import Failure, FailureKind, Value, replace_surrogates

CRC_START = b', "crc": "'

CRC_LENGTH = len(b', "crc": "01234567"}')

MAX_LINE_BYTES = 64 * 1024 * 1024

# A segment that has grown to this size is closed, and the next records go into a new one.
MAX_SEGMENT_BYTES = 64 * 1024 * 1024

# Segments below this size are small, and are merged when a generation has this many of them.
SMALL_SEGMENT_BYTES = 4 * 1024 * 1024

MAX_SMALL_SEGMENTS = 32

# The names that `SegmentWriter` gives. A file with another name is not a segment.
SEGMENT_NAME = re.compile(r"[A-Za-z0-9]{1,24}-[0-9]{1,20}-[0-9a-f]{12}(\.g[0-9]{1,6})?\.jsonl")

_GENERATION = re.compile(r"\.g([0-9]{1,6})\.jsonl$")

_REPAIR_HINT = "ita cache compact --drop-damaged keeps every intact line; the next run recomputes the others"

# What the index reads of a line without parsing it, as `encode` writes it: the image, and the kind of a failure.
_IMAGE = rb'\{"image": "([^"\\]*(?:\\.[^"\\]*)*)"'

_HEAD = re.compile(_IMAGE + rb', (?:"value": \{|"failure": \{"kind": "(permanent|transient|resource)", )')

_SECONDS = b', "seconds": '

MAX_SECONDS = 1e9

# Nineteen digits in a row, once every digit is a zero: perhaps more than 64 bits. A text of digits may have a `_`.
_LONG_NUMBER, _DIGITS = b"0" * 19, bytes.maketrans(b"123456789_", b"0" * 10)


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one stage for one image, and the seconds that it took."""

    image: str
    result: Value | Failure
    seconds: float


class Header(NamedTuple):
    """What the index keeps of a line: its image, the kind of its failure, or None for a value, and its seconds."""

    image: str
    failure: FailureKind | None
    seconds: float


class SegmentLine(NamedTuple):
    """A line of a segment without its newline. `number` counts from 1; `start` and `end` are byte positions."""

    number: int
    start: int
    end: int
    content: bytes

    @property
    def header(self) -> Header | None:
        """What the index keeps of the line, or None where it is damaged."""
        try:
            return parse_header(self.content)
        except ValueError:
            return None

    @property
    def image(self) -> str:
        """The image that the line is about, or an empty text where damage hides it."""
        match = re.match(_IMAGE, self.content)
        if match:
            return match[1].decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            return replace_surrogates(str(json.loads(self.content)["image"]))
        return ""


def encode(record: Record) -> bytes:
    """Encode a record as a line, newline included."""
    name = "failure" if isinstance(record.result, Failure) else "value"
    members = {
        "image": record.image,
        name: record.result.model_dump(mode="json"),
        "seconds": round(record.seconds, 4),
    }
    return sign(members) + b"\n"


def sign(members: dict[str, Any]) -> bytes:
    """Encode the members of a line as JSON that ends in its check sum."""
    body = json.dumps(members).encode()[:-1]
    return body + b', "crc": "%08x"}' % zlib.crc32(body)


def has_valid_checksum(line: bytes) -> bool:
    """Whether a line, without its newline, is as it was written."""
    body, end = line[:-CRC_LENGTH], line[-CRC_LENGTH:]
    return end == b'%b%08x"}' % (CRC_START, zlib.crc32(body))


def parse_header(line: bytes) -> Header:
    """Check the form of a line, and return what the index keeps of it, by position, without parsing the line.

    `decode` accepts no line whose members say something else.

    Raises:
        ValueError: the line is damaged, or its form is not that of a record.
    """
    match = _HEAD.match(line) if has_valid_checksum(line) else None
    start = line.rfind(_SECONDS)
    if match is None or start < 0:
        raise ValueError("it is damaged, or its members are not those of a record")
    image = match[1].decode()
    if "\\" in image:
        image = str(json.loads(f'"{image}"'))
    seconds = float(line[start + len(_SECONDS) : -CRC_LENGTH])
    if not (image and 0 <= seconds <= MAX_SECONDS) or (not image.isascii() and image != replace_surrogates(image)):
        raise ValueError("the image or the seconds are not plausible")
    return Header(image, FailureKind(match[2].decode()) if match[2] else None, seconds)


def _parse_int(digits: str) -> int:
    """
    Raises:
        ValueError: the number does not fit into 64 bits.
    """
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("a number has more than 64 bits")
    return int(digits)


def decode(line: bytes, value_type: type[Value]) -> Record:
    """Decode a line, wherever it comes from: what is accepted here can be read by every command.

    Raises:
        ValueError: the line is damaged, or does not contain a record of this type.
    """
    header = parse_header(line)
    is_long = _LONG_NUMBER in line.translate(_DIGITS)
    try:
        members: dict[str, Any] = json.loads(line, parse_int=_parse_int if is_long else None)
        name = "value" if header.failure is None else "failure"
        if members.keys() != {"image", name, "seconds", "crc"}:
            raise ValueError("its members are not those of a record")
        result = (value_type if header.failure is None else Failure).model_validate(members[name])
        if is_long:  # a text of digits may have become a number
            json.loads(json.dumps(result.model_dump(mode="json")), parse_int=_parse_int)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no record of {value_type.__name__}: {error}") from error
    failure = result.kind if isinstance(result, Failure) else None
    if header != (members["image"], failure, members["seconds"]):
        raise ValueError("a member is there twice")
    return Record(header.image, result, header.seconds)


def read_lines(segment: BinaryIO, start: int = 0, number: int = 0) -> Iterator[SegmentLine]:
    """Read the complete lines of a segment, intact or damaged, from a byte position that follows `number` lines.

    A torn last line, which is what a crash leaves, is skipped.
    """
    segment.seek(start)
    while content := segment.readline(MAX_LINE_BYTES):
        is_complete = content.endswith(b"\n")
        if not is_complete and len(content) < MAX_LINE_BYTES:
            return
        number += 1
        end = start + len(content)
        yield SegmentLine(number, start, end, content[:-1] if is_complete else content)
        start = end


def damage_error(place: str, more: str = "") -> CorruptCacheError:
    """The error for a line that is not as it was written."""
    return CorruptCacheError(f"the cache is damaged: {place}, is not what was written there{more}", _REPAIR_HINT)


def parse_generation(name: str) -> int:
    """The generation in the name of a segment: 1 for first results, more where it replaces earlier ones."""
    match = _GENERATION.search(name)
    return int(match[1]) if match else 1


def generation_order(segment: Path | str) -> tuple[int, str]:
    """Sort key for segments: earlier generations first. Removed in this order, no replaced record comes back."""
    name = Path(segment).name
    return parse_generation(name), name


@dataclass(eq=False)
class SegmentWriter:
    """Appends records to a segment of its own, whose file appears with the first record.

    A segment that has grown to `max_bytes`, or is older than `max_age` seconds, is closed before the next batch,
    which goes into a new one. `on_close` is called with each segment to which nothing more is appended.
    """

    folder: Path
    generation: int = 1
    on_close: Callable[[Path], None] | None = None
    max_age: float | None = None
    max_bytes: int = MAX_SEGMENT_BYTES
    suffix: str = ".jsonl"

    def __post_init__(self) -> None:
        self.path = self._new_path()
        self.size = 0
        self._descriptor: int | None = None
        self._opened_at = 0.0

    def append(self, batch: Sequence[Record]) -> None:
        """Write a batch; when this returns, the batch survives a crash.

        Raises:
            OSError: the disk is full or fails. The segment may then contain a part of the batch; its torn end is
                ignored, and nothing more can be appended to this segment.
        """
        self.append_lines(b"".join(encode(record) for record in batch))

    def append_lines(self, lines: bytes) -> None:
        """Write records that are encoded already, each with its newline; otherwise as `append`."""
        if not lines:
            return
        if self._descriptor is not None and self._is_full():
            self.close()
            self.path = self._new_path()
        if self._descriptor is None:
            self._descriptor = self._create()
            self.size, self._opened_at = 0, time.monotonic()
        self.size += len(lines)
        remaining = memoryview(lines)
        try:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
            (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(self._descriptor)
        except OSError as error:
            self.close()
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def close(self) -> None:
        """Close the segment, if it is open."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
            if self.on_close is not None:
                self.on_close(self.path)

    def _new_path(self) -> Path:
        generation = f".g{self.generation}" if self.generation > 1 else ""
        name = f"{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{generation}{self.suffix}"
        return self.folder / name

    def _is_full(self) -> bool:
        is_old = self.max_age is not None and time.monotonic() - self._opened_at > self.max_age
        return is_old or self.size >= self.max_bytes

    def _create(self) -> int:
        if self.path.exists():  # an earlier write failed: nothing may follow its torn end
            raise OSError(f"{self.path} was given up after a failed write")
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            _lock(descriptor)
            sync_to_disk(self.path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _lock(descriptor: int) -> None:
    """Mark a segment as being written until its process ends, so that cleanup and compaction leave it alone."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_being_written(path: Path) -> bool:
    """Whether a process on this machine still appends to a segment."""
    with path.open("rb") as segment, contextlib.suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(segment, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def host_name() -> str:
    """The name of this machine as the names of its segments contain it."""
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:24] or "host"
