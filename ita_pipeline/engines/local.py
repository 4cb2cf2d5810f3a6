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
from stages.base import Failure, Stage, Value


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
    """What became of a stage: counts of images, all failures old and new, and the seconds it took.

    `waiting` images are still stale: a limit kept them for another time.
    """

    key: StageKey
    fresh: int
    done: int
    failed: tuple[Failed, ...]
    seconds: float
    waiting: int = 0


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
    if todo.stale:
        above = [other for other in plan.stages if other.stage.name in todo.stage.reads]
        hands.open(todo.stage)
        progress.start(todo.stage.name, len(todo.stale))
        try:
            with store.writer(todo.key, todo.anew) as writer:
                for batch in batched(todo.stale, todo.stage.batch_size):
                    records, inherited = run_batch(todo.stage, batch, above, store, hands)
                    writer.append(records)
                    failed += inherited
                    failed += new_failures(batch, records)
                    progress.advance(len(batch))
                    if progress.stopping:
                        raise Interrupted
        finally:
            progress.finish()
    store.mark_used(todo.key)
    done = len(todo.stale) - (len(failed) - len(todo.failed))
    return StageOutcome(todo.key, todo.fresh, done, tuple(failed), time.perf_counter() - began, todo.waiting)


def run_batch(
    stage: Stage[Any], batch: Sequence[Stale], above: Sequence[StagePlan], store: Store, hands: Hands
) -> tuple[list[Record], list[Failed]]:
    """One record an image; an image that a stage above failed on fails with it, without a record of its own.

    So it is looked at as soon as the stage above has read it after all.
    """
    keys = [stale.image.key for stale in batch]
    known = {other.stage.name: store.results(other.stage, other.key, keys) for other in above}
    jobs: list[Job] = []
    inherited: list[Failed] = []
    for stale in batch:
        image = stale.image
        found = {name: records[image.key].result for name, records in known.items() if image.key in records}
        broken = {name: result for name, result in found.items() if isinstance(result, Failure)}
        for name, failure in broken.items():
            inherited.append(Failed(image, Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")))
            break
        else:
            jobs.append(Job(image, {n: result for n, result in found.items() if isinstance(result, Value)}))
    began = time.perf_counter()
    results = hands.work(stage, jobs) if jobs else []
    seconds = (time.perf_counter() - began) / max(1, len(jobs))
    pairs = zip(jobs, results, strict=True)
    return [Record(job.image.key, result, seconds) for job, result in pairs], inherited


def new_failures(batch: Sequence[Stale], records: Sequence[Record]) -> list[Failed]:
    images = {stale.image.key: stale.image for stale in batch}
    return [Failed(images[r.image], r.result) for r in records if isinstance(r.result, Failure)]
