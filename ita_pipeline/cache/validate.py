"""Checks of records and segments, above all of those that come from outside this process or this workspace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.records import Record, SegmentLine, decode, has_valid_checksum, read_lines
from stages.base import Failure, Value, replace_surrogates


def decode_untrusted(content: bytes, value_type: type[Value]) -> Record:
    """Decode a line from outside, with the checks that no type makes: the check sum, the image and the seconds.

    Raises:
        ValueError: the line is damaged, or contains no such record.
    """
    if not has_valid_checksum(content):
        raise ValueError("the check sum is wrong")
    record = decode(content, value_type)
    image = cast(object, record.image)
    seconds = cast(object, record.seconds)
    has_time = isinstance(seconds, int | float) and 0 <= seconds <= 1e9
    has_image = isinstance(image, str) and image != "" and image == replace_surrogates(image)
    if not (has_time and has_image):
        raise ValueError("the image or the seconds are not plausible")
    return record


def decode_exactly(content: bytes, image: str, value_type: type[Value]) -> Record | None:
    """Decode a line that another process has encoded for an image, or return None where it must not be appended.

    Beyond the checks of `decode_untrusted`, the index, which does not parse a line, must read the same from it.

    Raises:
        ValueError: the line contains no record of this type.
    """
    record = decode_untrusted(content, value_type)
    line = SegmentLine(1, 0, len(content), content)
    failure = record.result.kind if isinstance(record.result, Failure) else None
    is_exact = (line.image, line.failure, line.seconds) == (record.image, failure, record.seconds)
    return record if is_exact and record.image == image else None


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of reading segments: counts, and the damaged lines."""

    segments: int = 0
    lines: int = 0
    damage: tuple[Damage, ...] = ()


def verify_segments(
    segments: Iterable[tuple[Path, Path | str, int | None]], value_type: type[Value] | None = None
) -> Verification:
    """Read every line of segments and compare its check sum; with a type, check that it is a record of that type.

    A segment is its file, the address to report, and the size that it should have, if that is known. Then a missing
    end is damage of line 0.
    """
    count = lines = 0
    damage: list[Damage] = []
    for path, address, size in segments:
        count, end = count + 1, 0
        with path.open("rb") as segment:
            for line in read_lines(segment):
                lines, end = lines + 1, line.end
                if not _is_valid(line, value_type):
                    damage.append(Damage(address, line.number, line.image))
        if size is not None and not 0 < end == size == path.stat().st_size:
            damage.append(Damage(address, 0, ""))
    return Verification(count, lines, tuple(damage))


def find_first_damage(path: Path, size: int, value_type: type[Value] | None = None) -> int | None:
    """Return the number of the first damaged line of a fetched segment, 0 if only its end is missing, or None."""
    damage = verify_segments([(path, path, size)], value_type).damage
    return damage[0].line if damage else None


def _is_valid(line: SegmentLine, value_type: type[Value] | None) -> bool:
    if value_type is None:
        return line.is_intact
    try:
        decode_untrusted(line.content, value_type)
    except ValueError:
        return False
    return True
