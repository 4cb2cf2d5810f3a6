"""The engine that runs a plan on this machine, batch by batch; each batch is on disk before the next one starts.

Groups of images go through all stages, so that each image is decoded once, and the next group is decoded while this
one is processed. Posts follow after all images, since their stages may read results of images.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import zip_longest

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.plan import FailedItem, Plan, StagePlan
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.batches import Batch, check_stop, find_group_size, prepare_batch, upstream_keys
from ita_pipeline.engines.executor import Executor, StageResults
from ita_pipeline.sources.refs import ImageRef, ItemRef
from stages.base import Postponed, Result, Subject
from stages.batching import batched


class StageRun:
    """A stage in a run: what it has to do, the stages that it reads, and its results so far.

    `failed` are the failures of this run. `seconds` include opening the stage. After a `stop` the stage gets no
    more items.
    """

    def __init__(self, stage_plan: StagePlan, plan: Plan) -> None:
        self.plan, self.stage = stage_plan, stage_plan.stage
        self.upstream = [other for other in plan.stages if other.stage.name in self.stage.reads]
        self.stale = {each.item.key: each.item for each in stage_plan.stale}
        self.failed: list[FailedItem] = []
        self.writer: SegmentWriter | None = None
        self.stop: Postponed | None = None
        self.done, self.seconds, self.device = 0, 0.0, ""

    def select(self, images: Sequence[ImageRef]) -> list[ItemRef]:
        """The stale ones of some images; none after a stop."""
        return [self.stale[image.key] for image in images if image.key in self.stale and self.stop is None]

    def outcome(self) -> StageOutcome:
        """The outcome of the stage after the run."""
        plan = self.plan
        failed = (*plan.failed, *self.failed)
        waiting = plan.waiting + len(plan.stale) - self.done - len(self.failed)
        note = self.stop.reason if self.stop else ""
        return StageOutcome(plan.key, plan.fresh, self.done, failed, self.seconds, waiting, note)


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
        self.runs = [StageRun(stage_plan, plan) for stage_plan in plan.stages]

    def run(self) -> tuple[StageOutcome, ...]:
        active = [run for run in self.runs if run.stale]
        for run in active:
            start = time.perf_counter()
            run.device = self.executor.open(run.stage)
            run.seconds += time.perf_counter() - start
        if active:
            with ExitStack() as stack:
                stack.callback(self.progress.finish)
                for run in active:
                    plan = run.plan
                    self.progress.start(plan.stage.name, len(plan.stale))
                    run.writer = stack.enter_context(open_writer(self.store, plan.key, plan.replaces_records))
                self._run_images([each for each in active if each.stage.subject is Subject.PICTURE])
                for run in active:
                    if run.stage.subject is Subject.POST:
                        self._run_stage(run, list(run.stale.values()))
        for run in self.runs:
            self.store.mark_used(run.plan.key)
        return tuple(run.outcome() for run in self.runs)

    def _run_images(self, runs: Sequence[StageRun]) -> None:
        groups = _group_images(runs)
        waves = _find_waves(runs)
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
        work = [(run, items) for run in wave if (items := run.select(group))]
        if len({run.device for run, _ in work}) < 2:
            for run, items in work:
                self._run_stage(run, items)
            return
        batches = [self._prepare(run, items) for run, items in work]
        all_results = self.executor.run_together([batch.task for batch in batches])
        for (run, _), batch, results in zip(work, batches, all_results, strict=True):
            self._store_results(run, batch, results)
        for run, _ in work:
            self._check_stop(run)

    def _run_stage(self, run: StageRun, items: Sequence[ItemRef]) -> None:
        """Run a stage on some items after the stages that it reads.

        Raises:
            StageError: the stage cannot continue; its earlier results are kept.
            Interrupted: `progress` asked the run to stop.
        """
        for some in batched(items, run.stage.batch_size):
            if run.stop is not None:
                return
            batch = self._prepare(run, some)
            self._store_results(run, batch, self.executor.run_task(batch.task))
            self._check_stop(run)

    def _prepare(self, run: StageRun, items: Sequence[ItemRef]) -> Batch:
        upstream = [(above.stage, self._read_results(above, items)) for above in run.upstream]
        return prepare_batch(run.stage, items, upstream)

    def _read_results(self, above: StagePlan, items: Sequence[ItemRef]) -> dict[str, Result]:
        records = self.store.results(above.stage, above.key, sorted(upstream_keys(above.stage, items)))
        return {key: record.result for key, record in records.items()}

    def _store_results(self, run: StageRun, batch: Batch, results: StageResults) -> None:
        outcome = batch.outcome(results)
        assert run.writer is not None
        run.writer.append_lines(outcome.lines)
        run.failed += [*batch.inherited, *outcome.failed]
        run.done += len(outcome.records) - len(outcome.failed)
        run.seconds += results.seconds
        run.stop = outcome.stop
        self.progress.advance(run.stage.name, len(batch.items))

    def _check_stop(self, run: StageRun) -> None:
        check_stop(run.stage.name, run.stop)
        if self.progress.stop_requested:
            raise Interrupted


def _group_images(runs: Sequence[StageRun]) -> list[list[ImageRef]]:
    """The stale images of all stages, in groups."""
    items = {key: item for run in runs for key, item in run.stale.items()}
    images = [item.image for item in items.values() if item.image is not None]
    return list(batched(images, find_group_size([run.stage for run in runs])))


def _find_waves(runs: Sequence[StageRun]) -> list[list[StageRun]]:
    """Groups of stages that do not read each other, each after the stages that it reads."""
    waves: list[list[StageRun]] = []
    remaining = list(runs)
    while remaining:
        names = {run.stage.name for run in remaining}
        wave = [run for run in remaining if names.isdisjoint(run.stage.reads)]
        remaining = [run for run in remaining if run not in wave]
        waves.append(wave)
    return waves
