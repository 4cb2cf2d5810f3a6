"""Run a plan on this machine, batch by batch, each batch safe on disk before the next one starts.

Pictures go in groups through all stages that have to look at them, so that each is decoded once, and the next group
is decoded while this one is worked on. Posts come after all pictures, since their stages may read what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from ita_pipeline.cache.plan import Failed, Plan, StagePlan, Stale
from ita_pipeline.cache.segments import Record, SegmentWriter
from ita_pipeline.cache.store import Store
from ita_pipeline.engines.base import Interrupted, Progress, StageOutcome
from ita_pipeline.engines.jobs import Hands, Job
from ita_pipeline.groups import batched
from ita_pipeline.images import ImageRef
from ita_pipeline.items import ItemRef
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
    """Runs plans through some hands, which stay as they are from one plan to the next."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        return run(plan, store, self.hands, progress)


def run(plan: Plan, store: Store, hands: Hands, progress: Progress) -> tuple[StageOutcome, ...]:
    """As `Engine.run`."""
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
            seeing = [stage_run for stage_run in busy if not stage_run.of_posts]
            for group, following in in_pairs(groups(seeing)):
                hands.expect(following)
                for stage_run in seeing:
                    stale = [stage_run.stale[image.key] for image in group if image.key in stage_run.stale]
                    work_on(stale, stage_run, store, hands, progress)
            for stage_run in busy:
                if stage_run.of_posts:
                    work_on(list(stage_run.stale.values()), stage_run, store, hands, progress)
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


def work_on(stale: Sequence[Stale], at: StageRun, store: Store, hands: Hands, progress: Progress) -> None:
    """Have a stage look at some items, whose pictures those that it reads have been through.

    Raises:
        StageError: the stage cannot go on; what it found before is kept.
        Interrupted: whoever watches asked for it.
    """
    for batch in batched(stale, at.stage.batch_size):
        if at.stop is not None:
            return
        began = time.perf_counter()
        items = [one.item for one in batch]
        known = {other.stage.name: read_above(other, items, store) for other in at.above}
        found = run_batch(at.stage, items, known, hands)
        assert at.writer is not None
        at.writer.append(found.records)
        at.failed += [*found.inherited, *new_failures(items, found.records)]
        at.done += sum(not isinstance(record.result, Failure) for record in found.records)
        at.seconds += time.perf_counter() - began
        at.stop = found.stop
        progress.advance(at.stage.name, len(batch))
        if at.stop is not None and at.stop.broken:
            raise StageError(f"the stage {at.stage.name} stopped: {at.stop.reason}", at.stop.hint)
        if progress.stopping:
            raise Interrupted


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a batch: records, failures of the stages above, and why the stage stopped, if it did."""

    records: list[Record]
    inherited: list[Failed]
    stop: Postponed | None = None


def run_batch(
    stage: Stage[Any], items: Sequence[ItemRef], known: Mapping[str, Mapping[str, Value | Failure]], hands: Hands
) -> Batch:
    """One record an item; one that a stage above failed on fails with it, without a record of its own.

    So it is looked at as soon as the stage above has read it after all. One that a stage above has left for
    another time is left too. `known` is what the stages above said, by their name and the item's key.
    """
    jobs: list[Job] = []
    inherited: list[Failed] = []
    for item in items:
        found = {name: results[item.key] for name, results in known.items() if item.key in results}
        broken = [(name, result) for name, result in found.items() if isinstance(result, Failure)]
        if broken:
            name, failure = broken[0]
            inherited.append(Failed(item, Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")))
        elif item.image is None or found.keys() == known.keys():
            jobs.append(Job(item, {n: result for n, result in found.items() if isinstance(result, Value)}))
    began = time.perf_counter()
    results = hands.work(stage, jobs) if jobs else []
    seconds = (time.perf_counter() - began) / max(1, len(jobs))
    pairs = list(zip(jobs, results, strict=True))
    records = [Record(job.item.key, result, seconds) for job, result in pairs if not isinstance(result, Postponed)]
    stops = [result for result in results if isinstance(result, Postponed)]
    return Batch(records, inherited, max(stops, key=lambda stop: stop.broken, default=None))


def read_above(above: StagePlan, items: Sequence[ItemRef], store: Store) -> dict[str, Value | Failure]:
    """What a stage above said, by the key of the item that is worked on now."""
    wanted = {item.key: read_of(above.stage, item) for item in items}
    records = store.results(above.stage, above.key, sorted({key for key in wanted.values() if key}))
    return {key: records[read].result for key, read in wanted.items() if read in records}


def read_of(above: Stage[Any], item: ItemRef) -> str:
    """The key of that of an item which a stage above has looked at: itself, or its picture, if it has one."""
    if above.subject is Subject.POST:
        return item.key
    return item.image.key if item.image else ""


def new_failures(items: Sequence[ItemRef], records: Sequence[Record]) -> list[Failed]:
    by_key = {item.key: item for item in items}
    return [Failed(by_key[r.image], r.result) for r in records if isinstance(r.result, Failure)]
