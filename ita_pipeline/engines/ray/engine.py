"""The engine that runs a plan on a Ray cluster. Ray Data executes tasks; the store tells what was done.

Stages that process images run together on the same tasks, so that each image is decoded once. Stages that process
posts follow, as they may read results of images. Items whose actor died are missing in the store and are assigned
again.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.plan import FailedItem, Plan, StagePlan, StaleItem
from ita_pipeline.cache.records import parse_generation
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.batches import check_stop, find_group_size, upstream_keys
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.ray.actor import ActorConfig, ActorTask, BatchReport, StageSpec, run_tasks
from ita_pipeline.engines.ray.cluster import ActorResources, RayPool, connect, divide_cluster, require_ray
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, Postponed, Subject
from stages.batching import batched
from stages.models.threads import limit_cores

logger = logging.getLogger(__name__)

LOST = Postponed(reason="actors died again before anything more was done; ray status and ray list actors say more")


class RayEngine:
    """Runs plans in actors. It starts or joins a cluster only if a plan has stale items."""

    def __init__(self, pool: RayPool, executor: SubprocessExecutor) -> None:
        """Check that Ray is installed. The executor's limits hold in the actors too.

        It runs the stages that run alone, and keeps them from one plan to the next, and so their budgets.

        Raises:
            MissingError: Ray is not installed.
        """
        require_ray()
        self.pool, self.executor = pool, executor

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """Implement `Engine.run`.

        Raises:
            MissingError: no cluster answers.
            UsageError: the cluster does not have the resources that the pool asks for.
        """
        plan.check()
        return _RayRun(self, plan, store, progress).run()


class StageProgress:
    """A stage in a run: what actors get to know of it, what they report, and what the store contains.

    Segments of its `generation` or a later one belong to this run. `inherited` are the failures of upstream stages
    by item; `shown` is the number of items in the progress display.
    """

    def __init__(self, stage_plan: StagePlan, plan: Plan, store: Store) -> None:
        self.plan, self.store = stage_plan, store
        stage, key, replaces = stage_plan.stage, stage_plan.key, stage_plan.replaces_records
        upstream = tuple(other.stage for other in plan.stages if other.stage.name in stage.reads)
        self.name, self.spec = stage.name, StageSpec(stage, key, replaces, upstream)
        latest = max((parse_generation(path.name) for path in store.folder(key).glob("*.jsonl")), default=0)
        self.generation = latest + 1 if replaces else 1
        self.remaining: Sequence[StaleItem] = stage_plan.stale
        self.inherited: dict[str, Failure] = {}
        self.stop: Postponed | None = None
        self.seconds, self.shown = 0.0, 0

    def add(self, batch: BatchReport, progress: Progress) -> None:
        """Add a batch that an actor reported."""
        self.inherited.update(batch.inherited)
        self.seconds += batch.seconds
        self.stop = self.stop or batch.stop
        self.shown += batch.items
        if batch.items:
            progress.advance(self.name, batch.items)

    def update(self, progress: Progress) -> None:
        """Find the items that remain, none after a stop, and show those whose actor died before its report."""
        if self.stop is not None or not self.plan.stale:
            self.remaining = []
            return
        processed = self._find_entries().keys() | self.inherited.keys()
        self.remaining = [stale for stale in self.plan.stale if stale.item.key not in processed]
        unshown = len(self.plan.stale) - len(self.remaining) - self.shown
        if unshown > 0:
            progress.advance(self.name, unshown)
            self.shown += unshown

    def outcome(self) -> StageOutcome:
        """The outcome of the stage after the run, counted in the store."""
        plan = self.plan
        entries = self._find_entries() if plan.stale else {}
        failed_keys = [key for key, entry in entries.items() if entry.state is not State.VALUE]
        failures = dict(self.inherited)
        for key, record in self.store.results(plan.stage, plan.key, failed_keys).items():
            if isinstance(record.result, Failure):
                failures[key] = record.result
        items = [stale.item for stale in plan.stale]
        failed = [FailedItem(item, failures[item.key]) for item in items if item.key in failures]
        done = len(entries) - len(failed_keys)
        waiting = plan.waiting + len(plan.stale) - done - len(failed)
        note = self.stop.reason if self.stop else ""
        return StageOutcome(plan.key, plan.fresh, done, (*plan.failed, *failed), self.seconds, waiting, note)

    def _find_entries(self) -> dict[str, IndexEntry]:
        """The records that this run has written, by item."""
        folder = self.store.folder(self.plan.key)
        self.store.index.refresh(folder)
        entries = self.store.index.find_entries(folder, [stale.item.key for stale in self.plan.stale])
        return {entry.image: entry for entry in entries if parse_generation(entry.segment.name) >= self.generation}


class _RayRun:
    """The run of one plan."""

    def __init__(self, engine: RayEngine, plan: Plan, store: Store, progress: Progress) -> None:
        self.engine, self.plan, self.store, self.progress = engine, plan, store, progress
        self.stages = [StageProgress(stage_plan, plan, store) for stage_plan in plan.stages]
        self.local_outcomes: dict[str, StageOutcome] = {}

    def run(self) -> tuple[StageOutcome, ...]:
        if any(stage.plan.stale for stage in self.stages):
            with connect(self.engine.pool) as nodes:
                self._run_stages(divide_cluster(self.engine.pool, nodes))
        for stage in self.stages:
            self.store.mark_used(stage.plan.key)
        return tuple(self.local_outcomes.get(stage.name) or stage.outcome() for stage in self.stages)

    def _run_stages(self, resources: ActorResources) -> None:
        logger.info(f"Ray: {resources}")
        try:
            for stage in self.stages:
                if stage.plan.stale:
                    self.progress.start(stage.name, len(stage.plan.stale))
            for group in _group_stages(self.stages):
                if group[0].plan.stage.alone:
                    self._run_locally({stage.name for stage in group})
                else:
                    self._run_in_actors(group, resources)
        finally:
            self.progress.finish()

    def _run_locally(self, names: set[str]) -> None:
        """Run stages with a budget for the whole run in one process on this machine."""
        stage_plans = [each if each.stage.name in names else replace(each, stale=()) for each in self.plan.stages]
        engine = LocalEngine(self.engine.executor)
        outcomes = engine.run(Plan(tuple(stage_plans)), self.store, _AdvanceOnly(self.progress))
        self.local_outcomes |= {outcome.key.stage: outcome for outcome in outcomes if outcome.key.stage in names}

    def _run_in_actors(self, stages: Sequence[StageProgress], resources: ActorResources) -> None:
        """Assign the remaining items to actors, and lost ones again, as long as the number of items decreases."""
        previous_count, all_reported = 0, False
        while True:
            for stage in stages:
                stage.update(self.progress)
            unfinished = [stage for stage in stages if stage.remaining]
            if not unfinished or all_reported:
                return
            count = sum(len(stage.remaining) for stage in unfinished)
            if count == previous_count:
                for stage in unfinished:
                    stage.stop = LOST
                return
            previous_count = count
            all_reported = self._assign(unfinished, resources)

    def _assign(self, stages: Sequence[StageProgress], resources: ActorResources) -> bool:
        """Assign items to actors, and return whether the actors reported on every task completely."""
        specs = tuple(stage.spec for stage in stages)
        for spec in specs:  # creates the key file by which an actor recognizes the store
            with open_writer(self.store, spec.key):
                pass
        cores = resources.whole_cores
        config = ActorConfig(self.store.root.absolute(), Path.cwd(), self.engine.executor.limits, cores, specs)
        tasks = list(self._make_tasks(stages, cores))
        by_name = {stage.name: stage for stage in stages}
        complete_reports = 0
        stopped_actors: set[str] = set()
        with run_tasks(config, tasks, resources, self.progress) as reports:
            for report in reports:
                complete_reports += not report.is_incomplete
                for batch in report.batches:
                    by_name[batch.stage].add(batch, self.progress)
                if report.error is not None:
                    raise report.error
                for batch in report.batches:
                    check_stop(batch.stage, batch.stop)
                if report.is_stopped:
                    stopped_actors.add(report.actor)
                    if len(stopped_actors) == resources.actors:
                        break
        if self.progress.stop_requested:
            raise Interrupted
        return complete_reports == len(tasks)

    def _make_tasks(self, stages: Sequence[StageProgress], cores: int) -> Iterator[ActorTask]:
        """Tasks of remaining items with the earlier records of upstream stages. Actors pass new results on."""
        stale_keys = {stage.name: {stale.item.key for stale in stage.remaining} for stage in stages}
        items = {stale.item.key: stale.item for stage in stages for stale in stage.remaining}
        upstream = {above.name for stage in stages for above in stage.spec.upstream}
        for name in upstream:
            self.store.index.refresh(self.store.folder(self.plan.keys[name]))
        previous_limit = limit_cores(cores)  # the batch size of a stage may depend on it
        try:
            size = find_group_size([stage.plan.stage for stage in stages])
        finally:
            limit_cores(previous_limit)
        for group in batched(items.values(), size):
            stale = {name: [item for item in group if item.key in keys] for name, keys in stale_keys.items()}
            entries: dict[str, dict[str, IndexEntry]] = {name: {} for name in upstream}
            for stage in stages:
                for above in stage.spec.upstream:
                    earlier = upstream_keys(above, stale[stage.name]) - stale_keys.get(above.name, set())
                    entries[above.name] |= self._find_entries(above.name, earlier)
            yield ActorTask(group, stale, entries)

    def _find_entries(self, stage: str, keys: set[str]) -> dict[str, IndexEntry]:
        """The earlier records of a stage, by item; those of this run only actors know."""
        entries = self.store.index.find_entries(self.store.folder(self.plan.keys[stage]), sorted(keys))
        return {entry.image: replace(entry, segment=entry.segment.absolute()) for entry in entries}


class _AdvanceOnly(NoProgress):
    """Progress of a run within another run, which starts and finishes the display itself."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @property
    def stop_requested(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.progress.stop_requested

    def advance(self, stage: str, done: int) -> None:
        self.progress.advance(stage, done)


def _group_stages(stages: Sequence[StageProgress]) -> list[list[StageProgress]]:
    """Groups of stages that can run together on the same items, in an order in which each can read the others."""

    def group_key(stage: StageProgress) -> tuple[Subject, bool]:
        return stage.plan.stage.subject, stage.plan.stage.alone

    images_first = sorted(stages, key=lambda stage: stage.plan.stage.subject is Subject.POST)
    return [list(group) for _, group in itertools.groupby(images_first, group_key)]
