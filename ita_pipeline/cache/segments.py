"""Segments: append-only JSONL files, each written by one process, each line with its own check sum.

A line is plain JSON for any other program. Its last member, `crc`, is the CRC-32 of all bytes of the line
before that member, so a line is checked without being parsed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ita_pipeline.errors import CorruptCacheError
from stages.base import Failure, Value

CRC = re.compile(rb', "crc": "([0-9a-f]{8})"}$')


@dataclass(frozen=True, slots=True)
class Record:
    """What one stage said of one image, and how long that took."""

    image: str
    result: Value | Failure
    seconds: float


def encode(record: Record) -> bytes:
    """A record as its line, newline included."""
    name = "failure" if isinstance(record.result, Failure) else "value"
    members = {
        "image": record.image,
        name: record.result.model_dump(mode="json"),
        "seconds": round(record.seconds, 4),
    }
    body = json.dumps(members).encode()[:-1]
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


def checked(line: bytes) -> bool:
    """Whether a line, without its newline, is as it was written."""
    found = CRC.search(line)
    return found is not None and int(found[1], 16) == zlib.crc32(line[: found.start()])


def decode(line: bytes, value_type: type[Value]) -> Record:
    """The record of a checked line.

    Raises:
        ValueError: the line does not hold a record of this type.
    """
    members: dict[str, Any] = json.loads(line)
    failure = members.get("failure")
    result = Failure.model_validate(failure) if failure else value_type.model_validate(members["value"])
    return Record(image=members["image"], result=result, seconds=members["seconds"])


def lines(path: Path) -> Iterator[bytes]:
    """The checked lines of a segment, without newlines. A torn last line is what a crash leaves: ignored.

    Raises:
        CorruptCacheError: a line that was written whole has changed since.
    """
    content = path.read_bytes()
    start = number = 0
    while (end := content.find(b"\n", start)) >= 0:
        number += 1
        line = content[start:end]
        if not checked(line):
            raise damaged(path, number)
        yield line
        start = end + 1


def image_keys(path: Path) -> Iterator[str]:
    """The images that a segment speaks of, as far as it can be read."""
    for line in path.read_bytes().split(b"\n"):
        if checked(line):
            yield json.loads(line)["image"]


def records(path: Path, value_type: type[Value]) -> Iterator[Record]:
    """The records of a segment in the order written.

    Raises:
        CorruptCacheError: a line is damaged, or holds something else than this stage's records.
    """
    for number, line in enumerate(lines(path), 1):
        try:
            yield decode(line, value_type)
        except (ValidationError, ValueError, KeyError) as error:
            raise damaged(path, number) from error


def damaged(path: Path, number: int) -> CorruptCacheError:
    return CorruptCacheError(
        f"the cache is damaged: {path}, line {number}, is not what was written there",
        f"remove that file, and what it held is computed anew: rm '{path}'",
    )


class SegmentWriter:
    """Appends records to a segment of its own; the file appears with the first record."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{host_name()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.jsonl"
        self.descriptor: int | None = None

    def append(self, batch: Sequence[Record]) -> None:
        """Write a batch; when this returns, the batch survives a crash.

        Raises:
            OSError: the disk is full or fails. The batch may then be there in part; its torn end is ignored.
        """
        if not batch:
            return
        if self.descriptor is None:
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            sync_folder(self.path.parent)
        rest = memoryview(b"".join(encode(record) for record in batch))
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(self.descriptor)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def host_name() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:24] or "host"


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
