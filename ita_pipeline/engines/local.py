"""The engine that runs a plan on this machine, batch by batch; each batch is on disk before the next one starts.

Groups of images go through all stages, so that each image is decoded once, and the next group is decoded while this
one is processed. Posts follow after all images, since their stages may read results of images.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.plan import FailedItem, Plan, StagePlan, StaleItem
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.batches import PreparedBatch, prepare_batch, upstream_key
from ita_pipeline.engines.executor import Executor, StageJobs, StageResults
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Postponed, Stage, StageError, Subject, Value


@dataclass(slots=True)
class StageRun:
    """A stage in a run: what it has to do, the stages that it reads, and its results so far.

    `seconds` include opening the stage. After a `stop` the stage gets no more items.
    """

    plan: StagePlan
    upstream: Sequence[StagePlan]
    stale: dict[str, StaleItem]
    failed: list[FailedItem]
    writer: SegmentWriter | None = None
    done: int = 0
    seconds: float = 0.0
    stop: Postponed | None = None
    device: str = ""

    @property
    def stage(self) -> Stage[Any]:
        """The stage itself."""
        return self.plan.stage

    def outcome(self) -> StageOutcome:
        """The outcome of the stage after the run."""
        plan = self.plan
        remaining = len(plan.stale) - self.done - (len(self.failed) - len(plan.failed))
        note = self.stop.reason if self.stop else ""
        failed = tuple(self.failed)
        return StageOutcome(plan.key, plan.fresh, self.done, failed, self.seconds, plan.waiting + remaining, note)


class LocalEngine:
    """Runs plans with an executor, which keeps its stages open from one plan to the next."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """Implement `Engine.run`."""
        plan.check()
        return _LocalRun(plan, store, self.executor, progress).run()


class _LocalRun:
    """The run of one plan."""

    def __init__(self, plan: Plan, store: Store, executor: Executor, progress: Progress) -> None:
        self.store, self.executor, self.progress = store, executor, progress
        self.stage_runs = [_start_stage(stage_plan, plan) for stage_plan in plan.stages]

    def run(self) -> tuple[StageOutcome, ...]:
        active = [stage_run for stage_run in self.stage_runs if stage_run.stale]
        for stage_run in active:
            start = time.perf_counter()
            stage_run.device = self.executor.open(stage_run.stage)
            stage_run.seconds += time.perf_counter() - start
        if active:
            with ExitStack() as stack:
                stack.callback(self.progress.finish)
                for stage_run in active:
                    plan = stage_run.plan
                    self.progress.start(plan.stage.name, len(plan.stale))
                    stage_run.writer = stack.enter_context(open_writer(self.store, plan.key, plan.replaces_records))
                self._run_images([each for each in active if each.stage.subject is Subject.PICTURE])
                for stage_run in active:
                    if stage_run.stage.subject is Subject.POST:
                        self._run_stage(stage_run, list(stage_run.stale.values()))
        for stage_run in self.stage_runs:
            self.store.mark_used(stage_run.plan.key)
        return tuple(stage_run.outcome() for stage_run in self.stage_runs)

    def _run_images(self, stage_runs: Sequence[StageRun]) -> None:
        groups = _group_images(stage_runs)
        waves = _find_waves(stage_runs)
        for group, next_group in zip_longest(groups, groups[1:], fillvalue=list[ImageRef]()):
            self.executor.prefetch(next_group)
            for wave in waves:
                self._run_wave(wave, group)

    def _run_wave(self, wave: Sequence[StageRun], group: Sequence[ImageRef]) -> None:
        """Run the stages of a wave on some images: in turn, or together if they are on different devices.

        Raises:
            StageError: a stage cannot continue; its earlier results are kept.
            Interrupted: `progress` asked the run to stop.
        """
        work = [
            (stage_run, [stage_run.stale[image.key] for image in group if image.key in stage_run.stale])
            for stage_run in wave
            if stage_run.stop is None
        ]
        work = [(stage_run, stale) for stage_run, stale in work if stale]
        if len({stage_run.device for stage_run, _ in work}) < 2:
            for stage_run, stale in work:
                self._run_stage(stage_run, stale)
            return
        batches = [self._prepare(stage_run, stale) for stage_run, stale in work]
        tasks = [
            StageJobs(stage_run.stage, batch.jobs) for (stage_run, _), batch in zip(work, batches, strict=True)
        ]
        all_results = self.executor.run_together(tasks)
        for (stage_run, _), batch, results in zip(work, batches, all_results, strict=True):
            self._store_results(stage_run, batch, results)
        for stage_run, _ in work:
            self._check_stop(stage_run)

    def _run_stage(self, stage_run: StageRun, stale: Sequence[StaleItem]) -> None:
        """Run a stage on some items after the stages that it reads.

        Raises:
            StageError: the stage cannot continue; its earlier results are kept.
            Interrupted: `progress` asked the run to stop.
        """
        for some in batched(stale, stage_run.stage.batch_size):
            if stage_run.stop is not None:
                return
            batch = self._prepare(stage_run, some)
            self._store_results(stage_run, batch, self.executor.run_task(StageJobs(stage_run.stage, batch.jobs)))
            self._check_stop(stage_run)

    def _prepare(self, stage_run: StageRun, stale: Sequence[StaleItem]) -> PreparedBatch:
        items = [each.item for each in stale]
        upstream: dict[str, dict[str, Value | Failure]] = {}
        for above in stage_run.upstream:
            keys = {item.key: upstream_key(above.stage, item) for item in items}
            records = self.store.results(above.stage, above.key, sorted({key for key in keys.values() if key}))
            upstream[above.stage.name] = {
                item_key: records[key].result for item_key, key in keys.items() if key in records
            }
        return prepare_batch(items, upstream)

    def _store_results(self, stage_run: StageRun, batch: PreparedBatch, results: StageResults) -> None:
        outcome = batch.outcome(results)
        assert stage_run.writer is not None
        stage_run.writer.append_lines(outcome.lines)
        stage_run.failed += [*outcome.inherited, *outcome.failed]
        stage_run.done += len(outcome.records) - len(outcome.failed)
        stage_run.seconds += results.seconds
        stage_run.stop = outcome.stop
        self.progress.advance(stage_run.stage.name, len(batch.items))

    def _check_stop(self, stage_run: StageRun) -> None:
        stop = stage_run.stop
        if stop is not None and stop.broken:
            raise StageError(f"the stage {stage_run.stage.name} stopped: {stop.reason}", stop.hint)
        if self.progress.stop_requested:
            raise Interrupted


def _start_stage(stage_plan: StagePlan, plan: Plan) -> StageRun:
    upstream = [other for other in plan.stages if other.stage.name in stage_plan.stage.reads]
    stale = {each.item.key: each for each in stage_plan.stale}
    return StageRun(stage_plan, upstream, stale, list(stage_plan.failed))


def _group_images(stage_runs: Sequence[StageRun]) -> list[list[ImageRef]]:
    """The stale images of all stages, in groups of the largest batch size of the stages that read pixels."""
    stale = {key: each for stage_run in stage_runs for key, each in stage_run.stale.items()}
    images = [each.item.image for each in stale.values() if each.item.image is not None]
    readers = [stage_run for stage_run in stage_runs if not stage_run.stage.reads] or stage_runs
    size = max((stage_run.stage.batch_size for stage_run in readers), default=1)
    return list(batched(images, size))


def _find_waves(stage_runs: Sequence[StageRun]) -> list[list[StageRun]]:
    """Groups of stages that do not read each other, each after the stages that it reads."""
    waves: list[list[StageRun]] = []
    remaining = list(stage_runs)
    while remaining:
        names = {stage_run.stage.name for stage_run in remaining}
        wave = [stage_run for stage_run in remaining if names.isdisjoint(stage_run.stage.reads)]
        remaining = [stage_run for stage_run in remaining if stage_run not in wave]
        waves.append(wave)
    return waves
