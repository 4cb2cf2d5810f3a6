"""Which segments were brought together in which: what makes one name as good as others.

Segments are never changed, so a cache that has a name has its content. Bringing segments together gives the same
content other names, and a note beside them says so, `merged-….json`. By such notes a machine knows that it need not
fetch what it has under other names, nor put what is there under others, and the index what has moved where.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ita_pipeline.cache.records import NAME

SCHEMA = "ita.merged/1"

NOTE = re.compile(r"merged-[0-9a-f]{16}\.json")

NOTES = "merged-*.json"

LONGEST_NOTE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Merge:
    """Segments by name whose records are those of others: `into` holds what `parts` hold.

    What was good in `damaged` is in `into` as well, but a whole copy of one of them would say more.
    """

    into: frozenset[str]
    parts: frozenset[str]
    damaged: frozenset[str] = frozenset()

    def to_json(self) -> bytes:
        members = {
            "schema": SCHEMA,
            "into": sorted(self.into),
            "parts": sorted(self.parts),
            "damaged": sorted(self.damaged),
        }
        return json.dumps(members, indent=0).encode() + b"\n"

    @property
    def name(self) -> str:
        """The file that it is written to; the same for the same."""
        return f"merged-{hashlib.sha256(self.to_json()).hexdigest()[:16]}.json"


def parse_merge(content: bytes) -> Merge | None:
    """What a note says, or nothing where it is none: then only work is done twice."""
    with suppress(ValueError, RecursionError):
        found: Any = json.loads(content)
        if isinstance(found, dict) and cast(dict[str, Any], found).get("schema") == SCHEMA:
            parts = [names_in(cast(dict[str, Any], found).get(part)) for part in ("into", "parts", "damaged")]
            into, others, damaged = parts
            if into is not None and others is not None and damaged is not None:
                return Merge(into, others, damaged)
    return None


def names_in(value: Any) -> frozenset[str] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in value):
        return None
    return frozenset(cast(list[str], value))


def read_merges(folder: Path) -> list[Merge]:
    """What the notes of a folder say."""
    found: list[Merge] = []
    for path in folder.glob(NOTES):
        with suppress(OSError):
            if path.stat().st_size <= LONGEST_NOTE:
                merge = parse_merge(path.read_bytes())
                found += [merge] if merge is not None else []
    return found


class Known:
    """Names, and all others whose content is among theirs."""

    def __init__(self, names: Iterable[str], merges: Iterable[Merge]) -> None:
        self.names: set[str] = set()
        self.merges: dict[str, list[Merge]] = {}
        empty: list[Merge] = []
        for merge in merges:
            for name in merge.into | merge.parts | merge.damaged:
                self.merges.setdefault(name, []).append(merge)
            empty += [] if merge.into else [merge]
        for merge in empty:  # all that they held is outranked by what others hold
            self.add(merge.parts)
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Learn of more names, and of what follows."""
        new = set(names) - self.names
        while new:
            self.names |= new
            following: set[str] = set()
            for merge in {id(merge): merge for name in new for merge in self.merges.get(name, ())}.values():
                if merge.into <= self.names:
                    following |= merge.parts
                if merge.parts | merge.damaged <= self.names:
                    following |= merge.into
            new = following - self.names


def equivalents(names: Iterable[str], merges: Collection[Merge]) -> set[str]:
    """These names, and all others whose content is among theirs."""
    return Known(names, merges).names
