"""Checks of whole segments, above all of those that come from outside this workspace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.records import SegmentLine, decode, has_valid_checksum, is_being_written, read_lines
from stages.base import Value


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of reading segments: counts, and the damaged lines.

    `torn` counts segments whose last line has no end, which is what a crash leaves.
    """

    segments: int = 0
    lines: int = 0
    damage: tuple[Damage, ...] = ()
    torn: int = 0


def verify_segments(
    segments: Iterable[tuple[Path, Path | str, int | None]], value_type: type[Value] | None = None
) -> Verification:
    """Read every line of segments and compare its check sum; with a type, check that it is a record of that type.

    A segment is its file, the address to report, and the size that it should have, if that is known. Then a missing
    end is damage of line 0.
    """
    count = lines = torn = 0
    damage: list[Damage] = []
    for path, address, size in segments:
        count, end = count + 1, 0
        with path.open("rb") as segment:
            for line in read_lines(segment):
                lines, end = lines + 1, line.end
                if not _is_valid(line, value_type):
                    damage.append(Damage(address, line.number, line.image))
        if size is None:
            torn += end < path.stat().st_size and not is_being_written(path)
        elif not 0 < end == size == path.stat().st_size:
            damage.append(Damage(address, 0, ""))
    return Verification(count, lines, tuple(damage), torn)


def find_first_damage(path: Path, size: int, value_type: type[Value] | None = None) -> int | None:
    """Return the number of the first damaged line of a fetched segment, 0 if only its end is missing, or None."""
    damage = verify_segments([(path, path, size)], value_type).damage
    return damage[0].line if damage else None


def _is_valid(line: SegmentLine, value_type: type[Value] | None) -> bool:
    if value_type is None:
        return has_valid_checksum(line.content)
    try:
        decode(line.content, value_type)
    except ValueError:
        return False
    return True
