"""Rows of the index: what SQLite holds of a record, and the statements that put it there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any

from ita_pipeline.cache.segments import CRC_LENGTH, Line
from stages.base import FailureKind

SECONDS = b', "seconds": '

ENTER = "INSERT INTO folders (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id"

ENROL = """
INSERT INTO segments (folder, name) VALUES (?, ?) ON CONFLICT (folder, name) DO UPDATE SET name = name RETURNING id
"""

GATHER = "INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
ONE, ALL = "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "SELECT * FROM incoming WHERE true ORDER BY image"

# Of two records of one image the later generation holds, then a value before a failure, then the first by name.
REMEMBER = """
INSERT INTO records {rows}
ON CONFLICT (folder, image) DO UPDATE SET
    segment = excluded.segment, start = excluded.start, length = excluded.length, state = excluded.state,
    seconds = excluded.seconds, generation = excluded.generation
WHERE segment IN ({gone}) OR excluded.generation > generation
    OR (excluded.generation = generation AND excluded.state = 0 AND state != 0)
    OR (excluded.generation = generation AND (excluded.state = 0) = (state = 0)
        AND (SELECT name FROM segments WHERE id = excluded.segment)
            < (SELECT name FROM segments WHERE id = records.segment))
"""


class State(IntEnum):
    """What a record is: a value, or a failure of one of the three kinds."""

    VALUE = 0
    PERMANENT = 1
    TRANSIENT = 2
    RESOURCE = 3

    @property
    def kind(self) -> FailureKind:
        return FailureKind[self.name]

    @classmethod
    def of(cls, failure: FailureKind | None) -> State:
        return cls.VALUE if failure is None else cls[failure.name]


def stored(image: str) -> bytes | str:
    """A sha256 as its 32 bytes; any other id as the text it is."""
    if len(image) == 64:
        with suppress(ValueError):
            raw = bytes.fromhex(image)
            if raw.hex() == image:
                return raw
    return image


def sortable(image: bytes | str) -> bytes:
    return image if isinstance(image, bytes) else image.encode("utf-8", "surrogatepass")


def numbers(segments: Sequence[int]) -> str:
    return ", ".join(map(str, segments))


def row_of(folder: int, segment: int, rank: int, line: Line) -> tuple[Any, ...]:
    """A line's row in `records`, found without reading its value."""
    content = line.content
    state = State.of(line.failure)
    at = content.rfind(SECONDS)
    seconds = float(content[at + len(SECONDS) : -CRC_LENGTH]) if at >= 0 else 0.0
    return (folder, stored(line.image), segment, line.start, len(content), int(state), seconds, rank)
