"""Merge notes: which segments were merged into which, so that records known under one name are known under others.

Segments never change, so a cache that has a name has its content. A merge gives the same content other names, and a
note beside the segments, `merged-….json`, records that. By such notes a machine neither fetches nor puts records
that the other side has under other names, and the index finds where records have moved.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from ita_pipeline.cache.records import SEGMENT_NAME

SCHEMA = "ita.merged/1"

NOTE_NAME = re.compile(r"merged-[0-9a-f]{16}\.json")

NOTE_PATTERN = "merged-*.json"

MAX_NOTE_BYTES = 16 * 1024 * 1024

_SegmentNames = frozenset[Annotated[str, StringConstraints(pattern=f"^({SEGMENT_NAME.pattern})$")]]


@dataclass(frozen=True, slots=True)
class Merge:
    """Names of segments: the records of `parts` are those of `into`.

    The intact records of `damaged` are in `into` too, but an undamaged copy of one of them would contain more.
    """

    into: frozenset[str]
    parts: frozenset[str]
    damaged: frozenset[str] = frozenset()

    def to_json(self) -> bytes:
        """The content of the note."""
        members = {name: sorted(names) for name, names in asdict(self).items()}
        return json.dumps({"schema": SCHEMA, **members}, indent=0).encode() + b"\n"

    @property
    def name(self) -> str:
        """The name of the note; equal merges have equal names."""
        return f"merged-{hashlib.sha256(self.to_json()).hexdigest()[:16]}.json"


class _Note(BaseModel):
    """A note from outside: the names in it become paths, so nothing but names of segments is accepted."""

    schema_name: str = Field(alias="schema", pattern=f"^{re.escape(SCHEMA)}$")
    into: _SegmentNames
    parts: _SegmentNames
    damaged: _SegmentNames


def parse_merge(content: bytes) -> Merge | None:
    """Parse a note, or return None where it is none: then only work is done twice."""
    with suppress(ValueError):
        note = _Note.model_validate_json(content)
        return Merge(note.into, note.parts, note.damaged)
    return None


def read_merges(folder: Path) -> list[Merge]:
    """Read the notes of a folder."""
    merges: list[Merge | None] = []
    for path in folder.glob(NOTE_PATTERN):
        with suppress(OSError):
            if path.stat().st_size <= MAX_NOTE_BYTES:
                merges.append(parse_merge(path.read_bytes()))
    return [merge for merge in merges if merge is not None]


class KnownSegments:
    """Names of segments, and all other names whose records are among theirs."""

    def __init__(self, names: Iterable[str], merges: Iterable[Merge]) -> None:
        self.names: set[str] = set()
        self._merges: dict[str, list[Merge]] = {}
        for merge in merges:
            for name in merge.into | merge.parts | merge.damaged:
                self._merges.setdefault(name, []).append(merge)
            if not merge.into:  # other segments contain records that replace all of theirs
                names = {*names, *merge.parts}
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Add names, and all that follow from them."""
        new = set(names) - self.names
        while new:
            self.names |= new
            implied: set[str] = set()
            for merge in {merge for name in new for merge in self._merges.get(name, ())}:
                if merge.into <= self.names:
                    implied |= merge.parts
                if merge.parts | merge.damaged <= self.names:
                    implied |= merge.into
            new = implied - self.names


def find_equivalents(names: Iterable[str], merges: Iterable[Merge]) -> set[str]:
    """Find all names whose records are among those of these names, which are included."""
    return KnownSegments(names, merges).names
