"""The contract of an engine: what it is given, what it gives back, how it is watched, and how it stops.

Engines differ in where the work is done and in how many pieces, and in nothing else. Each obeys the same plan, and
what it leaves in the store is the same, but for the seconds that were measured and the names of segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Failed, Plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and did so between two batches."""


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What became of a stage: counts of items, all failures old and new, and the seconds it took, of all processes
    that worked on it together.

    `waiting` items are still stale: a limit or a budget kept them for another time, and `note` is what the stage
    said about that.
    """

    key: StageKey
    fresh: int
    done: int
    failed: tuple[Failed, ...]
    seconds: float
    waiting: int = 0
    note: str = ""


class Engine(Protocol):
    """Whoever does what a plan says."""

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """Look at every stale item and keep what was found, batch by batch; one outcome a stage, in their order.

        A batch is safe on disk before another is begun by the same process. Whatever stops a run, finished batches
        stay. An item that a stage dies of fails alone. What was done is what the store holds, never what an engine
        remembers, so that a run which was stopped goes on with a new plan.

        Raises:
            CorruptCacheError: the cache is damaged; nothing is done then.
            StageError: a stage cannot work at all, or not go on.
            OSError: the store cannot be written.
            Interrupted: whoever watches asked for it.
        """
        ...
