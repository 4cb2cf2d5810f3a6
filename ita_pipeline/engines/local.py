"""Run a plan on this machine, batch by batch, each batch safe on disk before the next one starts.

Pictures go in groups through all stages that have to look at them, so that each is decoded once, and the next group
is decoded while this one is worked on. Posts come after all pictures, since their stages may read what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from ita_pipeline.cache.compaction import writing
from ita_pipeline.cache.plan import Failed, Plan, StagePlan, Stale
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.batches import Handed, handed_on, new_failures, read_of
from ita_pipeline.engines.executor import Executor, StageJobs, StageResults
from ita_pipeline.sources.refs import ImageRef, ItemRef
from stages.base import Failure, Postponed, Stage, StageError, Subject, Value


@dataclass(slots=True)
class StageRun:
    """A stage at work: what it has to do, the stages that it reads, and what became of it so far.

    `seconds` include making it ready. Where it `stop`ped, it is not asked again.
    """

    todo: StagePlan
    above: Sequence[StagePlan]
    failed: list[Failed]
    writer: SegmentWriter | None = None
    done: int = 0
    seconds: float = 0.0
    stop: Postponed | None = None
    stale: dict[str, Stale] = field(default_factory=dict)
    device: str = ""

    @property
    def stage(self) -> Stage[Any]:
        return self.todo.stage

    @property
    def of_posts(self) -> bool:
        return self.stage.subject is Subject.POST

    def outcome(self) -> StageOutcome:
        todo = self.todo
        left = len(todo.stale) - self.done - (len(self.failed) - len(todo.failed))
        note = self.stop.reason if self.stop else ""
        failed = tuple(self.failed)
        return StageOutcome(todo.key, todo.fresh, self.done, failed, self.seconds, todo.waiting + left, note)


class LocalEngine:
    """Runs plans with an executor, which stays as it is from one plan to the next."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        return run(plan, store, self.executor, progress)


def run(plan: Plan, store: Store, executor: Executor, progress: Progress) -> tuple[StageOutcome, ...]:
    """As `Engine.run`."""
    plan.check()
    runs = [begun(todo, plan) for todo in plan.stages]
    busy = [stage_run for stage_run in runs if stage_run.stale]
    for stage_run in busy:
        began = time.perf_counter()
        stage_run.device = executor.open(stage_run.stage)
        stage_run.seconds += time.perf_counter() - began
    if busy:
        with ExitStack() as stack:
            stack.callback(progress.finish)
            for stage_run in busy:
                progress.start(stage_run.stage.name, len(stage_run.stale))
                stage_run.writer = stack.enter_context(writing(store, stage_run.todo.key, stage_run.todo.anew))
            seeing = [stage_run for stage_run in busy if not stage_run.of_posts]
            for group, following in in_pairs(groups(seeing)):
                executor.prefetch(following)
                for wave in waves(seeing):
                    see(group, wave, store, executor, progress)
            for stage_run in busy:
                if stage_run.of_posts:
                    work_on(list(stage_run.stale.values()), stage_run, store, executor, progress)
    for stage_run in runs:
        store.mark_used(stage_run.todo.key)
    return tuple(stage_run.outcome() for stage_run in runs)


def begun(todo: StagePlan, plan: Plan) -> StageRun:
    above = [other for other in plan.stages if other.stage.name in todo.stage.reads]
    return StageRun(todo, above, list(todo.failed), stale={stale.item.key: stale for stale in todo.stale})


def groups(runs: Sequence[StageRun]) -> list[list[ImageRef]]:
    """The pictures that any stage has to look at, as many at once as those that look at pixels want."""
    stale = {key: stale for stage_run in runs for key, stale in stage_run.stale.items()}
    images = [one.item.image for one in stale.values() if one.item.image is not None]
    lookers = [stage_run for stage_run in runs if not stage_run.stage.reads] or runs
    size = max((stage_run.stage.batch_size for stage_run in lookers), default=1)
    return list(batched(images, size))


def in_pairs(groups: Sequence[list[ImageRef]]) -> Iterator[tuple[list[ImageRef], list[ImageRef]]]:
    """Each group with the one after it."""
    return zip_longest(groups, groups[1:], fillvalue=[])


def waves(runs: Sequence[StageRun]) -> list[list[StageRun]]:
    """Stages none of which reads another, those that read what others say after them."""
    found: list[list[StageRun]] = []
    left = list(runs)
    while left:
        names = {stage_run.stage.name for stage_run in left}
        found.append([stage_run for stage_run in left if names.isdisjoint(stage_run.stage.reads)])
        left = [stage_run for stage_run in left if stage_run not in found[-1]]
    return found


def see(
    group: Sequence[ImageRef], wave: Sequence[StageRun], store: Store, executor: Executor, progress: Progress
) -> None:
    """Have the stages of a wave look at some pictures: one after the other, or at once where they are on different
    devices.

    Raises:
        StageError: a stage cannot go on; what it found before is kept.
        Interrupted: whoever watches asked for it.
    """
    able = [
        (at, [at.stale[image.key] for image in group if image.key in at.stale]) for at in wave if at.stop is None
    ]
    todo = [(at, stale) for at, stale in able if stale]
    if len({at.device for at, _ in todo}) < 2:
        for at, stale in todo:
            work_on(stale, at, store, executor, progress)
        return
    handed = [handed_on(items_of(stale), known_to(at, stale, store)) for at, stale in todo]
    answers = executor.run_together(
        [StageJobs(at.stage, each.jobs) for (at, _), each in zip(todo, handed, strict=True)]
    )
    for (at, _), each, done in zip(todo, handed, answers, strict=True):
        keep(each, done, at, progress)
    for at, _ in todo:
        check(at, progress)


def work_on(stale: Sequence[Stale], at: StageRun, store: Store, executor: Executor, progress: Progress) -> None:
    """Have a stage look at some items, whose pictures those that it reads have been through.

    Raises:
        StageError: the stage cannot go on; what it found before is kept.
        Interrupted: whoever watches asked for it.
    """
    for batch in batched(stale, at.stage.batch_size):
        if at.stop is not None:
            return
        handed = handed_on(items_of(batch), known_to(at, batch, store))
        keep(handed, executor.run_task(StageJobs(at.stage, handed.jobs)), at, progress)
        check(at, progress)


def keep(handed: Handed, done: StageResults, at: StageRun, progress: Progress) -> None:
    found = handed.batch(done)
    assert at.writer is not None
    at.writer.append_lines(found.lines)
    at.failed += [*found.inherited, *new_failures(handed.items, found.records)]
    at.done += sum(not isinstance(record.result, Failure) for record in found.records)
    at.seconds += done.seconds
    at.stop = found.stop
    progress.advance(at.stage.name, len(handed.items))


def check(at: StageRun, progress: Progress) -> None:
    """
    Raises:
        StageError: the stage cannot go on.
        Interrupted: whoever watches asked for it.
    """
    if at.stop is not None and at.stop.broken:
        raise StageError(f"the stage {at.stage.name} stopped: {at.stop.reason}", at.stop.hint)
    if progress.stop_requested:
        raise Interrupted


def items_of(stale: Sequence[Stale]) -> list[ItemRef]:
    return [one.item for one in stale]


def known_to(at: StageRun, stale: Sequence[Stale], store: Store) -> dict[str, dict[str, Value | Failure]]:
    """What the stages above said of these items."""
    return {other.stage.name: read_above(other, items_of(stale), store) for other in at.above}


def read_above(above: StagePlan, items: Sequence[ItemRef], store: Store) -> dict[str, Value | Failure]:
    """What a stage above said, by the key of the item that is worked on now."""
    wanted = {item.key: read_of(above.stage, item) for item in items}
    records = store.results(above.stage, above.key, sorted({key for key in wanted.values() if key}))
    return {key: records[read].result for key, read in wanted.items() if read in records}
