"""Find installed stages through the entry point group `ita.stages`."""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from ita_pipeline.core.errors import UsageError

ENTRY_POINT_GROUP = "ita.stages"

# The hint for an error that only the author of a stage can fix.
REPORT_STAGE = "report it to the author of the stage; see docs/own-stage.md"


def package_names(*entries: EntryPoint) -> str:
    """Return the names of the packages that provide entry points, joined by "and"."""
    return " and ".join(sorted({entry.dist.name for entry in entries if entry.dist is not None}))


@functools.cache
def stage_entry_points() -> dict[str, EntryPoint]:
    """Return every installed stage by name. The built-in stages are entry points too.

    Raises:
        UsageError: two packages provide a stage of the same name.
    """
    stages: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        first = stages.setdefault(entry.name, entry)
        if first.value != entry.value:
            problem = f"two packages bring a stage {entry.name}: {package_names(first, entry)}"
            raise UsageError(problem, "uninstall one of them")
    return stages
