"""The progress of a stage that runs in actors: what they report, and in the end what the store contains."""

from __future__ import annotations

from dataclasses import dataclass, field

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.plan import FailedItem, StagePlan, StaleItem
from ita_pipeline.cache.records import parse_generation
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.ray.actor import BatchReport
from stages.base import Failure, Postponed


@dataclass(slots=True)
class StageProgress:
    """A stage in a run. Segments of its `generation` or a later one belong to this run.

    `inherited` are the failures of upstream stages by item; `shown` is the number of items in the progress display.
    """

    plan: StagePlan
    generation: int
    inherited: dict[str, Failure] = field(default_factory=dict[str, Failure])
    seconds: float = 0.0
    stop: Postponed | None = None
    shown: int = 0

    @classmethod
    def start(cls, plan: StagePlan, store: Store) -> StageProgress:
        """The progress of a stage before its first item."""
        latest = max((parse_generation(path.name) for path in store.folder(plan.key).glob("*.jsonl")), default=0)
        return cls(plan, latest + 1 if plan.replaces_records else 1)

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.plan.stage.name

    def find_remaining(self, store: Store) -> list[StaleItem]:
        """The stale items that this run has not processed yet; none after a stop."""
        if self.stop is not None or not self.plan.stale:
            return []
        entries = self._find_entries(store)
        return [
            stale
            for stale in self.plan.stale
            if stale.item.key not in entries and stale.item.key not in self.inherited
        ]

    def add(self, batch: BatchReport, progress: Progress) -> None:
        """Add a batch that an actor reported."""
        self.inherited.update(batch.inherited)
        self.seconds += batch.seconds
        self.stop = self.stop or batch.stop
        self.shown += batch.items
        if batch.items:
            progress.advance(self.name, batch.items)

    def catch_up(self, remaining: int, progress: Progress) -> None:
        """Show the items whose actor died before it could report them."""
        processed = len(self.plan.stale) - remaining
        if self.stop is None and processed > self.shown:
            progress.advance(self.name, processed - self.shown)
            self.shown = processed

    def outcome(self, store: Store) -> StageOutcome:
        """The outcome of the stage after the run, counted in the store."""
        plan = self.plan
        entries = self._find_entries(store) if plan.stale else {}
        failed_keys = [key for key, entry in entries.items() if entry.state is not State.VALUE]
        failures = dict(self.inherited)
        for key, record in store.results(plan.stage, plan.key, failed_keys).items():
            if isinstance(record.result, Failure):
                failures[key] = record.result
        failed_items = [stale.item for stale in plan.stale if stale.item.key in failures]
        failed = [FailedItem(item, failures[item.key]) for item in failed_items]
        done = len(entries) - len(failed_keys)
        waiting = plan.waiting + len(plan.stale) - done - len(failed)
        note = self.stop.reason if self.stop else ""
        return StageOutcome(plan.key, plan.fresh, done, (*plan.failed, *failed), self.seconds, waiting, note)

    def _find_entries(self, store: Store) -> dict[str, IndexEntry]:
        """The records that this run has written, by item."""
        folder = store.folder(self.plan.key)
        store.index.refresh(folder)
        entries = store.index.find_entries(folder, [stale.item.key for stale in self.plan.stale])
        return {entry.image: entry for entry in entries if parse_generation(entry.segment.name) >= self.generation}
