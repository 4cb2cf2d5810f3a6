"""Why an item is stale: typed reasons, each printed as a phrase that needs no explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ita_pipeline.cache.keys import StageKey


class Cause(StrEnum):
    """The kind of change that makes an item stale."""

    NEW = "new image"
    NEW_POST = "new post"
    CONTENT = "content changed"
    PART = "content changed:"
    PARAMETER = "parameter"
    MODEL = "model"
    TOOL = "tool"
    NUMERICS = "numerics"
    VERSION = "stage version"
    UPSTREAM = "upstream"
    CORRUPT = "corrupt record"
    FAILED = "failed before, key changed"
    RETRY = "failed before, retry requested"
    REFRESH = "refresh requested"
    NEVER = "never trained"
    UNKNOWN = "depends on stale stages:"
    TEXTS = "changed"
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class Reason:
    """A cause and, where it has them, the name of what changed and its values `before` and `after`."""

    cause: Cause
    what: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        text = f"{self.what} {self.cause}" if self.cause is Cause.TEXTS else f"{self.cause} {self.what}".rstrip()
        return f"{text} {self.before} → {self.after}" if self.before or self.after else text


CAUSE_OF_GROUP = {
    "parameters": Cause.PARAMETER,
    "models": Cause.MODEL,
    "tools": Cause.TOOL,
    "numerics": Cause.NUMERICS,
}


# Finds the key of a stage by its digest, where it is still described.
FindKey = Callable[[str, str], StageKey | None]


def find_changes(old: StageKey, new: StageKey, find_key: FindKey) -> Iterator[Reason]:
    """Find what differs between two keys of a stage, including changes in the stages that it reads."""
    before, after = old.components, new.components
    if before.get("version") != after.get("version"):
        yield Reason(Cause.VERSION, "", abbreviate(before.get("version")), abbreviate(after.get("version")))
    for group, cause in CAUSE_OF_GROUP.items():
        for name, old_value, new_value in find_differences(before.get(group, {}), after.get(group, {})):
            yield Reason(cause, name, abbreviate(old_value), abbreviate(new_value))
    for name, old_digest, new_digest in find_differences(before.get("reads", {}), after.get("reads", {})):
        old_key, new_key = find_key(name, str(old_digest)), find_key(name, str(new_digest))
        # Without its old key, only the fact that the upstream stage changed is known.
        causes = list(find_changes(old_key, new_key, find_key)) if old_key and new_key else []
        for reason in causes:
            what = f"{name}: {reason.cause} {reason.what}".rstrip()
            yield Reason(Cause.UPSTREAM, what, reason.before, reason.after)
        if not causes:
            yield Reason(Cause.UPSTREAM, name)


def find_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Find the settings that differ, with both values. The name of a nested setting contains dots."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            for inner, old_value, new_value in find_differences(before, after):  # pyright: ignore
                yield f"{name}.{inner}", old_value, new_value
        elif before != after:
            yield name, before, after


def abbreviate(value: object) -> str:
    """The value as a short text."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:18]}…{text[-8:]}"
