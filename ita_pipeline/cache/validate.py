"""Checks of records, segments and key descriptions that come from outside this process or this workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from ita_pipeline.cache.keys import StageKey, digest
from ita_pipeline.cache.reasons import CAUSE_OF_GROUP
from ita_pipeline.cache.records import Record, SegmentLine, decode, has_valid_checksum, read_lines
from stages.base import Failure, Value, replace_surrogates


def decode_untrusted(content: bytes, value_type: type[Value]) -> Record:
    """Decode a line from outside, with the checks that no type makes: the check sum, the image and the seconds.

    Raises:
        ValueError: the line is damaged, or contains no such record.
    """
    if not has_valid_checksum(content):
        raise ValueError("the check sum is wrong")
    try:
        record = decode(content, value_type)
    except RecursionError as error:
        raise ValueError("the record is nested too deep") from error
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


def find_first_damage(path: Path, value_type: type[Value] | None, size: int | None = None) -> int | None:
    """Find the first line of a fetched segment that is no record of a type, or 0 where the end is missing.

    Without a type, only check sums are compared. `size` is the number of bytes that the segment should have.
    """
    end = 0
    with path.open("rb") as segment:
        for line in read_lines(segment):
            end = line.end
            if not _is_valid(line, value_type):
                return line.number
    actual_size = path.stat().st_size
    return None if end == actual_size and actual_size > 0 and size in (None, actual_size) else 0


def _is_valid(line: SegmentLine, value_type: type[Value] | None) -> bool:
    if value_type is None:
        return line.is_intact
    try:
        decode_untrusted(line.content, value_type)
    except ValueError:
        return False
    return True


class _Description(BaseModel):
    key: str
    components: dict[str, Any]


def parse_key(folder: str, content: bytes) -> StageKey:
    """Read the key from the description in a folder `<stage>/<key>`.

    Raises:
        ValueError: the content is no description, or the key does not follow from its components and the folder.
    """
    description = _Description.model_validate_json(content)
    components, hexdigest = description.components, description.key
    stage, short = folder.split("/")
    if not all(isinstance(components.get(group), dict) for group in (*CAUSE_OF_GROUP, "reads")):
        raise ValueError(f"{folder} describes no key")
    if digest(components) != hexdigest or not hexdigest.startswith(short) or components.get("stage") != stage:
        raise ValueError(f"{folder}: the key is not that of its components or its folder")
    return StageKey(stage, components, hexdigest)
