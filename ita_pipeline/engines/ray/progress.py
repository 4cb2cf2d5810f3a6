"""What is known of a stage while it runs elsewhere: what actors say of it, and in the end what the store says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import Entry
from ita_pipeline.cache.plan import Failed, StagePlan, Stale
from ita_pipeline.cache.records import generation
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.ray.actor import Through
from stages.base import Failure, Postponed


@dataclass(slots=True)
class StageProgress:
    """What is known of a stage while it runs. Segments of its `generation`, or a later one, are of this run.

    `inherited` are failures of stages above; `shown` is how many items the watcher was told of.
    """

    todo: StagePlan
    generation: int
    inherited: dict[str, Failure] = field(default_factory=dict)
    seconds: float = 0.0
    stop: Postponed | None = None
    shown: int = 0

    @classmethod
    def begun(cls, todo: StagePlan, store: Store) -> StageProgress:
        there = max((generation(path) for path in store.folder(todo.key).glob("*.jsonl")), default=0)
        return cls(todo, there + 1 if todo.anew else 1)

    @property
    def name(self) -> str:
        return self.todo.stage.name

    def found(self, store: Store) -> dict[str, Entry]:
        """Where it is written what this run found, by key."""
        folder = store.folder(self.todo.key)
        store.index.refresh(folder)
        entries = store.index.entries(folder, [stale.item.key for stale in self.todo.stale])
        return {entry.image: entry for entry in entries if generation(entry.segment) >= self.generation}

    def left(self, store: Store) -> list[Stale]:
        if self.stop is not None or not self.todo.stale:
            return []
        found = self.found(store)
        return [one for one in self.todo.stale if one.item.key not in found and one.item.key not in self.inherited]

    def note(self, through: Through, progress: Progress) -> None:
        self.inherited.update(through.inherited)
        self.seconds += through.seconds
        self.stop = self.stop or through.stop
        self.shown += through.items
        if through.items:
            progress.advance(self.name, through.items)

    def catch_up(self, left: Sequence[Stale], progress: Progress) -> None:
        """Tell the watcher of items whose actor died before it could say that it was through with them."""
        through = len(self.todo.stale) - len(left)
        if self.stop is None and through > self.shown:
            progress.advance(self.name, through - self.shown)
            self.shown = through

    def outcome(self, store: Store) -> StageOutcome:
        """Counted in the store."""
        todo = self.todo
        found = self.found(store) if todo.stale else {}
        bad = [key for key, entry in found.items() if entry.state is not State.VALUE]
        failures = {key: record.result for key, record in store.results(todo.stage, todo.key, bad).items()}
        new = self.inherited | {key: result for key, result in failures.items() if isinstance(result, Failure)}
        failed = [Failed(stale.item, new[stale.item.key]) for stale in todo.stale if stale.item.key in new]
        done = len(found) - len(bad)
        waiting = todo.waiting + len(todo.stale) - done - len(failed)
        note = self.stop.reason if self.stop else ""
        return StageOutcome(todo.key, todo.fresh, done, (*todo.failed, *failed), self.seconds, waiting, note)
