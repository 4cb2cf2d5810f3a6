"""The engine protocol: run a plan and return the outcome of each stage.

Engines differ only in where they run the stages. For the same plan they leave the same records in the store, except
for measured seconds and names of segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import FailedItem, Plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress


class Interrupted(KeyboardInterrupt):
    """A run stopped between two batches because it was asked to."""


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """The outcome of a stage: counts of items, all failures old and new, and the seconds of all its processes.

    `waiting` items are still stale, because of a limit or a budget; `note` is the stage's explanation.
    """

    key: StageKey
    fresh: int
    done: int
    failed: tuple[FailedItem, ...]
    seconds: float
    waiting: int = 0
    note: str = ""


class Engine(Protocol):
    """Runs plans."""

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """Process every stale item, store the results batch by batch, and return one outcome per stage, in order.

        A process writes a batch to disk before it begins the next one, and finished batches survive whatever stops
        the run. An item that crashes a stage fails alone. Only the store remembers what was done, so a run that was
        stopped is resumed with a new plan.

        Raises:
            CorruptCacheError: the cache is damaged; nothing was run.
            StageError: a stage cannot work at all, or not continue.
            OSError: the store cannot be written.
            Interrupted: `progress` asked the run to stop.
        """
        ...
