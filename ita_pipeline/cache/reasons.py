"""Why something is stale: typed reasons, each a sentence that a stranger understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ita_pipeline.cache.keys import StageKey


class Cause(StrEnum):
    """What kind of thing makes an image stale."""

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
    RETRY = "failed before, to be tried again"
    REFRESH = "refresh asked for"
    NEVER = "never trained"
    UNKNOWN = "depends on what stale stages will say:"
    TEXTS = "changed"
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause; `what` changed from `before` to `after`, where the cause has such things."""

    cause: Cause
    what: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        said = f"{self.what} {self.cause}" if self.cause is Cause.TEXTS else f"{self.cause} {self.what}".rstrip()
        return f"{said} {self.before} → {self.after}" if self.before or self.after else said


GROUPS = {
    "parameters": Cause.PARAMETER,
    "models": Cause.MODEL,
    "tools": Cause.TOOL,
    "numerics": Cause.NUMERICS,
}


Described = Callable[[str, str], StageKey | None]


def changes(old: StageKey, new: StageKey, described: Described) -> tuple[Reason, ...]:
    """What differs between two keys of a stage, causes of causes included.

    `described(stage, hexdigest)` gives another stage's key in clear, where it is still known.
    """
    return tuple(found(old, new, described))


def found(old: StageKey, new: StageKey, described: Described) -> Iterator[Reason]:
    before, after = old.components, new.components
    if before.get("version") != after.get("version"):
        yield Reason(Cause.VERSION, "", brief(before.get("version")), brief(after.get("version")))
    for group, cause in GROUPS.items():
        for name, was, now in pairs(before.get(group, {}), after.get(group, {})):
            yield Reason(cause, name, brief(was), brief(now))
    for name, was, now in pairs(before.get("reads", {}), after.get("reads", {})):
        yield from upstream(name, described(name, str(was)), described(name, str(now)), described)


def upstream(name: str, old: StageKey | None, new: StageKey | None, described: Described) -> Iterator[Reason]:
    """Each reason for which an upstream stage changed, or the bare fact where its old key is no longer known."""
    causes = changes(old, new, described) if old and new else ()
    if not causes:
        yield Reason(Cause.UPSTREAM, name)
    for reason in causes:
        yield Reason(Cause.UPSTREAM, f"{name}: {reason.cause} {reason.what}".rstrip(), reason.before, reason.after)


def pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The entries that differ, one level down: nested settings are named with a dot."""
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from ((f"{name}.{inner}", a, b) for inner, a, b in pairs(was, now))
        elif was != now:
            yield name, was, now


def brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:18]}…{text[-8:]}"
