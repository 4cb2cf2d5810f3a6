"""Check records, keys and descriptions that come from outside this workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from ita_pipeline.cache.keys import StageKey, digest
from ita_pipeline.cache.reasons import GROUPS
from ita_pipeline.cache.records import Line, Record, decode
from stages.base import Failure, Value

LONGEST_DESCRIPTION = 1024 * 1024

LONGEST_TIME = 1e9  # seconds


def sensible(record: Record) -> bool:
    """Whether what no type has checked holds: the image is named, and the seconds are a time."""
    image: object = record.image
    seconds: object = record.seconds
    timed = isinstance(seconds, int | float) and 0 <= seconds <= LONGEST_TIME
    return timed and isinstance(image, str) and bool(image) and is_text(image)


def decode_exactly(content: bytes, image: str, value_type: type[Value]) -> Record | None:
    """Decode a line that another process has encoded; nothing where it may not be appended to a segment as it is.

    Beyond the check sum and the shape of the value, the line must be about `image`, and the index, which does not
    parse it, must read the same from it.

    Raises:
        ValueError: the line contains no record of this type.
    """
    record = decode(content, value_type)
    line = Line(1, 0, len(content), content)
    failure = record.result.kind if isinstance(record.result, Failure) else None
    if not line.good or not sensible(record) or record.image != image:
        return None
    return record if (line.image, line.failure, line.seconds) == (image, failure, record.seconds) else None


def is_text(text: str) -> bool:
    """Whether it can be written: JSON may name half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """A description as JSON.

    Raises:
        ValueError: it is none.
    """
    if len(content) > LONGEST_DESCRIPTION:
        raise ValueError(f"{name} is longer than any description")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{name} is not a description") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a description")
    return cast(dict[str, Any], found)


def checked_key(name: str, content: Mapping[str, Any]) -> StageKey:
    """The key described under a name; it must be the digest of what it says."""
    stage, short, _ = name.split("/")
    components, hexdigest = content.get("components"), content.get("key")
    if not isinstance(components, dict) or not isinstance(hexdigest, str):
        raise ValueError(f"{name} describes no key")
    parts = cast(dict[str, Any], components)
    if not all(isinstance(parts.get(group), dict) for group in (*GROUPS, "reads")):
        raise ValueError(f"{name} describes no key")
    if not is_text(json.dumps(parts, ensure_ascii=False)):
        raise ValueError(f"{name} is not text")
    if digest(parts) != hexdigest or not hexdigest.startswith(short) or parts.get("stage") != stage:
        raise ValueError(f"{name}: the key is not that of what it says")
    return StageKey(stage, parts, hexdigest)
