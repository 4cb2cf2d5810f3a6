"""Find installed stages through the entry point group `ita.stages`."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from ita_pipeline.core.errors import UsageError

ENTRY_POINT_GROUP = "ita.stages"


def package_names(*entries: EntryPoint) -> str:
    return " and ".join(sorted({entry.dist.name for entry in entries if entry.dist is not None}))


@functools.cache
def stage_entry_points() -> dict[str, EntryPoint]:
    """Every installed stage by name; ours come in by the same door as anybody's.

    Raises:
        UsageError: two packages bring a stage of the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        before = found.setdefault(entry.name, entry)
        if before.value != entry.value:
            raise UsageError(
                f"two packages bring a stage {entry.name}: {package_names(before, entry)}", "uninstall one of them"
            )
    return found
