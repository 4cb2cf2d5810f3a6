"""Run a plan on this machine, batch by batch, each batch safe on disk before the next one starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Failed, Plan, StagePlan, Stale
from ita_pipeline.cache.segments import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.engines.jobs import Hands, Job
from ita_pipeline.groups import batched
from ita_pipeline.items import ItemRef
from stages.base import Failure, Postponed, Stage, StageError, Subject, Value


class Progress(Protocol):
    """Who watches a run, and may ask it to stop after the batch in hand."""

    @property
    def stopping(self) -> bool: ...

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """Watches a run and says nothing."""

    stopping = False

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and did so between two batches."""


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What became of a stage: counts of items, all failures old and new, and the seconds it took.

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


def run(plan: Plan, store: Store, hands: Hands, progress: Progress) -> tuple[StageOutcome, ...]:
    """Do what the plan says. Whatever stops it, finished batches stay.

    Raises:
        CorruptCacheError: the cache is damaged; nothing is done then.
        StageError: a stage cannot work at all.
        OSError: the store cannot be written.
        Interrupted: whoever watches asked for it.
    """
    plan.check()
    return tuple(run_stage(stage, plan, store, hands, progress) for stage in plan.stages)


def run_stage(todo: StagePlan, plan: Plan, store: Store, hands: Hands, progress: Progress) -> StageOutcome:
    began = time.perf_counter()
    failed = list(todo.failed)
    done, stop = 0, None
    if todo.stale:
        above = [other for other in plan.stages if other.stage.name in todo.stage.reads]
        hands.open(todo.stage)
        progress.start(todo.stage.name, len(todo.stale))
        try:
            with store.writer(todo.key, todo.anew) as writer:
                for batch in batched(todo.stale, todo.stage.batch_size):
                    found = run_batch(todo.stage, batch, above, store, hands)
                    writer.append(found.records)
                    failed += [*found.inherited, *new_failures(batch, found.records)]
                    done += sum(not isinstance(record.result, Failure) for record in found.records)
                    progress.advance(len(batch))
                    stop = found.stop
                    if stop is not None:
                        break
                    if progress.stopping:
                        raise Interrupted
        finally:
            progress.finish()
    store.mark_used(todo.key)
    if stop is not None and stop.broken:
        raise StageError(f"the stage {todo.stage.name} stopped: {stop.reason}", stop.hint)
    left = len(todo.stale) - done - (len(failed) - len(todo.failed))
    seconds = time.perf_counter() - began
    note = stop.reason if stop else ""
    return StageOutcome(todo.key, todo.fresh, done, tuple(failed), seconds, todo.waiting + left, note)


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a batch: records, failures of the stages above, and why the stage stopped, if it did."""

    records: list[Record]
    inherited: list[Failed]
    stop: Postponed | None = None


def run_batch(
    stage: Stage[Any], batch: Sequence[Stale], above: Sequence[StagePlan], store: Store, hands: Hands
) -> Batch:
    """One record an item; one that a stage above failed on fails with it, without a record of its own.

    So it is looked at as soon as the stage above has read it after all. One that a stage above has left for
    another time is left too.
    """
    jobs: list[Job] = []
    inherited: list[Failed] = []
    known = {other.stage.name: read_above(other, batch, store) for other in above}
    for stale in batch:
        found = {name: results[stale.item.key] for name, results in known.items() if stale.item.key in results}
        broken = [(name, result) for name, result in found.items() if isinstance(result, Failure)]
        if broken:
            name, failure = broken[0]
            inherited.append(Failed(stale.item, Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")))
        elif stale.item.image is None or found.keys() == known.keys():
            jobs.append(Job(stale.item, {n: result for n, result in found.items() if isinstance(result, Value)}))
    began = time.perf_counter()
    results = hands.work(stage, jobs) if jobs else []
    seconds = (time.perf_counter() - began) / max(1, len(jobs))
    pairs = list(zip(jobs, results, strict=True))
    records = [Record(job.item.key, result, seconds) for job, result in pairs if not isinstance(result, Postponed)]
    stops = [result for result in results if isinstance(result, Postponed)]
    return Batch(records, inherited, max(stops, key=lambda stop: stop.broken, default=None))


def read_above(above: StagePlan, batch: Sequence[Stale], store: Store) -> dict[str, Value | Failure]:
    """What a stage above said, by the key of the item that is worked on now."""

    def read_of(item: ItemRef) -> str:
        if above.stage.subject is Subject.POST:
            return item.key
        return item.image.key if item.image else ""

    wanted = {stale.item.key: read_of(stale.item) for stale in batch}
    records = store.results(above.stage, above.key, sorted({key for key in wanted.values() if key}))
    return {key: records[read].result for key, read in wanted.items() if read in records}


def new_failures(batch: Sequence[Stale], records: Sequence[Record]) -> list[Failed]:
    items = {stale.item.key: stale.item for stale in batch}
    return [Failed(items[r.image], r.result) for r in records if isinstance(r.result, Failure)]
