"""Run a plan on this machine, batch by batch, each batch safe on disk before the next one starts.

Pictures go in groups through all stages that have to look at them, so that each is decoded once, and the next group
is decoded while this one is worked on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Failed, Plan, StagePlan, Stale
from ita_pipeline.cache.segments import Record, SegmentWriter
from ita_pipeline.cache.store import Store
from ita_pipeline.engines.jobs import Hands, Job
from ita_pipeline.groups import batched
from ita_pipeline.images import ImageRef
from stages.base import Failure, Stage, Value


class Progress(Protocol):
    """Who watches a run, and may ask it to stop after the batch in hand.

    All stages are started before the first one advances, and `finish` ends them all.
    """

    @property
    def stopping(self) -> bool: ...

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, stage: str, done: int) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """Watches a run and says nothing."""

    stopping = False

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, stage: str, done: int) -> None: ...

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


@dataclass(slots=True)
class StageRun:
    """A stage at work: what it has to do, the stages that it reads, and what became of it so far.

    `seconds` include making it ready.
    """

    todo: StagePlan
    above: Sequence[StagePlan]
    failed: list[Failed]
    writer: SegmentWriter | None = None
    seconds: float = 0.0
    stale: dict[str, Stale] = field(default_factory=dict)

    @property
    def stage(self) -> Stage[Any]:
        return self.todo.stage

    def outcome(self) -> StageOutcome:
        done = len(self.todo.stale) - (len(self.failed) - len(self.todo.failed))
        todo = self.todo
        return StageOutcome(todo.key, todo.fresh, done, tuple(self.failed), self.seconds, todo.waiting)


def run(plan: Plan, store: Store, hands: Hands, progress: Progress) -> tuple[StageOutcome, ...]:
    """Do what the plan says. Whatever stops it, finished batches stay.

    Raises:
        CorruptCacheError: the cache is damaged; nothing is done then.
        StageError: a stage cannot work at all.
        OSError: the store cannot be written.
        Interrupted: whoever watches asked for it.
    """
    plan.check()
    runs = [begun(todo, plan) for todo in plan.stages]
    busy = [stage_run for stage_run in runs if stage_run.stale]
    for stage_run in busy:
        began = time.perf_counter()
        hands.open(stage_run.stage)
        stage_run.seconds += time.perf_counter() - began
    if busy:
        with ExitStack() as stack:
            stack.callback(progress.finish)
            for stage_run in busy:
                progress.start(stage_run.stage.name, len(stage_run.stale))
                stage_run.writer = stack.enter_context(store.writer(stage_run.todo.key, stage_run.todo.anew))
            for group, following in in_pairs(groups(busy)):
                hands.expect(following)
                work_on(group, busy, store, hands, progress)
    for stage_run in runs:
        store.mark_used(stage_run.todo.key)
    return tuple(stage_run.outcome() for stage_run in runs)


def begun(todo: StagePlan, plan: Plan) -> StageRun:
    above = [other for other in plan.stages if other.stage.name in todo.stage.reads]
    return StageRun(todo, above, list(todo.failed), stale={stale.image.key: stale for stale in todo.stale})


def groups(runs: Sequence[StageRun]) -> list[list[ImageRef]]:
    """The pictures that any stage has to look at, as many at once as those that look at pixels want."""
    images = {key: stale.image for stage_run in runs for key, stale in stage_run.stale.items()}
    lookers = [stage_run for stage_run in runs if not stage_run.stage.reads] or runs
    size = max(stage_run.stage.batch_size for stage_run in lookers)
    return list(batched(images.values(), size))


def in_pairs(groups: Sequence[list[ImageRef]]) -> Iterator[tuple[list[ImageRef], list[ImageRef]]]:
    """Each group with the one after it."""
    return zip(groups, [*groups[1:], []], strict=True)


def work_on(
    group: Sequence[ImageRef], runs: Sequence[StageRun], store: Store, hands: Hands, progress: Progress
) -> None:
    """Take some pictures through all stages, each after those that it reads."""
    for stage_run in runs:
        stale = [stage_run.stale[image.key] for image in group if image.key in stage_run.stale]
        for batch in batched(stale, stage_run.stage.batch_size):
            began = time.perf_counter()
            records, inherited = run_batch(stage_run.stage, batch, stage_run.above, store, hands)
            assert stage_run.writer is not None
            stage_run.writer.append(records)
            stage_run.failed += inherited
            stage_run.failed += new_failures(batch, records)
            stage_run.seconds += time.perf_counter() - began
            progress.advance(stage_run.stage.name, len(batch))
            if progress.stopping:
                raise Interrupted


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
