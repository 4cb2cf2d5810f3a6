# Ray is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The engine that runs a plan on a Ray cluster. Ray Data executes tasks; the store tells what was done.

Stages that process images run together on the same tasks, so that each image is decoded once. Stages that process
posts follow, as they may read results of images. Items whose actor died are missing in the store and are assigned
again.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.plan import Plan, StagePlan, StaleItem
from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.batches import upstream_key
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.ray.actor import ActorConfig, ActorTask, StageActor, StageSpec, StopFlag, TaskReport
from ita_pipeline.engines.ray.cluster import (
    ActorResources,
    RayPool,
    connect,
    divide_cluster,
    require_ray,
    silence_ray_data,
)
from ita_pipeline.engines.ray.progress import StageProgress
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.refs import ItemRef
from stages.base import Postponed, Stage, StageError, Subject
from stages.models.threads import limit_cores

logger = logging.getLogger(__name__)

# Ray accounts for every block; with more tasks, a block holds several.
MAX_BLOCKS = 20_000

LOST = Postponed(reason="actors died again before anything more was done; ray status and ray list actors say more")


class RayEngine:
    """Runs plans in actors. It starts or joins a cluster only if a plan has stale items."""

    def __init__(self, pool: RayPool, limits: Limits | None = None) -> None:
        """Check that Ray is installed.

        Raises:
            MissingError: Ray is not installed.
        """
        require_ray()
        self.pool, self.limits = pool, limits or Limits()
        # For stages that run alone. It lasts from one plan to the next, and so do their budgets.
        self.executor = SubprocessExecutor(self.limits)

    def close(self) -> None:
        """End the executor's process."""
        self.executor.close()

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """Implement `Engine.run`.

        Raises:
            MissingError: no cluster answers.
            UsageError: the cluster does not have the resources that the pool asks for.
        """
        plan.check()
        stages = [StageProgress.start(stage_plan, store) for stage_plan in plan.stages]
        local_outcomes: dict[str, StageOutcome] = {}
        if any(stage.plan.stale for stage in stages):
            local_outcomes = self._run_stages(stages, plan, store, progress)
        for stage in stages:
            store.mark_used(stage.plan.key)
        return tuple(local_outcomes.get(stage.name) or stage.outcome(store) for stage in stages)

    def _run_stages(
        self, stages: Sequence[StageProgress], plan: Plan, store: Store, progress: Progress
    ) -> dict[str, StageOutcome]:
        """Run the stages, and return the outcomes of those that ran here instead of in actors."""
        local_outcomes: dict[str, StageOutcome] = {}
        with connect(self.pool) as nodes, silence_ray_data():
            resources = divide_cluster(self.pool, nodes)
            logger.info(f"Ray: {resources}")
            run = _ActorRun(plan, store, progress, self.limits, resources)
            try:
                for stage in stages:
                    if stage.plan.stale:
                        progress.start(stage.name, len(stage.plan.stale))
                for group in _group_stages(stages):
                    if group[0].plan.stage.alone:
                        names = {stage.name for stage in group}
                        local_outcomes |= self._run_locally(names, plan, store, progress)
                    else:
                        run.run_stages(group)
            finally:
                progress.finish()
        return local_outcomes

    def _run_locally(
        self, names: set[str], plan: Plan, store: Store, progress: Progress
    ) -> dict[str, StageOutcome]:
        """Run stages with a budget for the whole run in one process on this machine."""
        stage_plans = [each if each.stage.name in names else replace(each, stale=()) for each in plan.stages]
        engine = LocalEngine(self.executor)
        outcomes = engine.run(Plan(tuple(stage_plans)), store, _AdvanceOnly(progress))
        return {outcome.key.stage: outcome for outcome in outcomes if outcome.key.stage in names}


class _AdvanceOnly(NoProgress):
    """Progress of a run within another run, which starts and finishes the display itself."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @property
    def stop_requested(self) -> bool:
        return self.progress.stop_requested

    def advance(self, stage: str, done: int) -> None:
        self.progress.advance(stage, done)


class _ActorRun:
    """The part of a run that takes place in actors."""

    def __init__(
        self, plan: Plan, store: Store, progress: Progress, limits: Limits, resources: ActorResources
    ) -> None:
        self.plan, self.store, self.progress = plan, store, progress
        self.limits, self.resources = limits, resources

    def run_stages(self, stages: Sequence[StageProgress]) -> None:
        """Assign the remaining items to actors, and lost ones again, as long as the number of items decreases."""
        previous_count, all_reported = 0, False
        while True:
            remaining = {stage.name: stage.find_remaining(self.store) for stage in stages}
            for stage in stages:
                stage.catch_up(len(remaining[stage.name]), self.progress)
            count = sum(map(len, remaining.values()))
            if not count or all_reported:
                return
            unfinished = [stage for stage in stages if remaining[stage.name]]
            if count == previous_count:
                for stage in unfinished:
                    stage.stop = LOST
                return
            previous_count = count
            all_reported = self._assign(unfinished, remaining)

    def _assign(self, stages: Sequence[StageProgress], remaining: Mapping[str, Sequence[StaleItem]]) -> bool:
        """Assign items to actors, and return whether the actors reported on every task completely."""
        specs = [self._make_spec(stage.plan) for stage in stages]
        for spec in specs:  # creates the key file by which an actor recognizes the store
            with open_writer(self.store, spec.key):
                pass
        cores = self.resources.whole_cores
        config = ActorConfig(self.store.root.absolute(), Path.cwd(), self.limits, cores, tuple(specs))
        tasks = list(self._make_tasks(specs, remaining))
        by_name = {stage.name: stage for stage in stages}
        complete_reports = 0
        stopped_actors: set[str] = set()
        with _run_tasks(config, tasks, self.resources, self.progress) as reports:
            for report in reports:
                complete_reports += not report.is_incomplete
                for batch in report.batches:
                    by_name[batch.stage].add(batch, self.progress)
                _raise_error(report)
                if report.is_stopped:
                    stopped_actors.add(report.actor)
                    if len(stopped_actors) == self.resources.actors:
                        break
        if self.progress.stop_requested:
            raise Interrupted
        return complete_reports == len(tasks)

    def _make_spec(self, stage_plan: StagePlan) -> StageSpec:
        stage = stage_plan.stage
        upstream = tuple(other.stage for other in self.plan.stages if other.stage.name in stage.reads)
        return StageSpec(stage, stage_plan.key, stage_plan.replaces_records, upstream)

    def _make_tasks(
        self, specs: Sequence[StageSpec], remaining: Mapping[str, Sequence[StaleItem]]
    ) -> Iterator[ActorTask]:
        """Tasks of remaining items with the earlier records of upstream stages. Actors pass new results on."""
        stale_keys = {spec.stage.name: {stale.item.key for stale in remaining[spec.stage.name]} for spec in specs}
        items = {stale.item.key: stale.item for spec in specs for stale in remaining[spec.stage.name]}
        for name in {above.name for spec in specs for above in spec.upstream}:
            self.store.index.refresh(self.store.folder(self.plan.keys[name]))
        size = _find_task_size([spec.stage for spec in specs], self.resources.whole_cores)
        for group in batched(items.values(), size):
            positions = {
                name: tuple(number for number, item in enumerate(group) if item.key in keys)
                for name, keys in stale_keys.items()
            }
            entries: dict[str, dict[str, IndexEntry]] = {}
            for spec in specs:
                stage_items = [group[number] for number in positions[spec.stage.name]]
                for above in spec.upstream:
                    new_keys = stale_keys.get(above.name, set())
                    earlier = self._find_entries(above, stage_items, new_keys)
                    entries.setdefault(above.name, {}).update(earlier)
            yield ActorTask(tuple(group), positions, entries)

    def _find_entries(
        self, above: Stage[Any], items: Sequence[ItemRef], new_keys: set[str]
    ) -> dict[str, IndexEntry]:
        """The earlier records of an upstream stage, by item, for items that it will not process in this run."""
        keys = {key for item in items if (key := upstream_key(above, item))} - new_keys
        if not keys:
            return {}
        entries = self.store.index.find_entries(self.store.folder(self.plan.keys[above.name]), sorted(keys))
        return {entry.image: replace(entry, segment=entry.segment.absolute()) for entry in entries}


def _group_stages(stages: Sequence[StageProgress]) -> list[list[StageProgress]]:
    """Groups of stages that can run together on the same items, in an order in which each can read the others."""

    def group_key(stage: StageProgress) -> tuple[Subject, bool]:
        return stage.plan.stage.subject, stage.plan.stage.alone

    images_first = sorted(stages, key=lambda stage: stage.plan.stage.subject is Subject.POST)
    return [list(group) for _, group in itertools.groupby(images_first, group_key)]


def _find_task_size(stages: Sequence[Stage[Any]], cores: int) -> int:
    """The number of items per task: the largest batch size of the stages that read no other, with these cores."""
    previous = limit_cores(cores)
    try:
        readers = [stage for stage in stages if not stage.reads] or stages
        return max(stage.batch_size for stage in readers)
    finally:
        limit_cores(previous)


def _raise_error(report: TaskReport) -> None:
    """Raise the error of an actor, or the reason for which a stage cannot continue."""
    if report.error is not None:
        raise report.error
    for batch in report.batches:
        if batch.stop is not None and batch.stop.broken:
            raise StageError(f"the stage {batch.stage} stopped: {batch.stop.reason}", batch.stop.hint)


@contextmanager
def _run_tasks(
    config: ActorConfig, tasks: Sequence[ActorTask], resources: ActorResources, progress: Progress
) -> Generator[Iterable[TaskReport]]:
    """Run the tasks in actors and give the reports in the order in which they arrive."""
    import ray
    import ray.data

    stop_flag: Any = ray.remote(num_cpus=0)(StopFlag).remote()
    pool = ray.data.ActorPoolStrategy(size=min(resources.actors, len(tasks)), max_tasks_in_flight_per_actor=2)
    dataset = ray.data.from_items(
        [{"task": task} for task in tasks], override_num_blocks=min(len(tasks), MAX_BLOCKS)
    ).map_batches(
        StageActor,
        batch_size=1,
        batch_format="numpy",
        compute=pool,
        fn_constructor_args=(config, stop_flag),
        num_cpus=resources.cores,
        num_gpus=resources.gpus or None,
        max_restarts=-1,
        # An actor that died may have finished some batches; the store tells what remains of its task.
        max_task_retries=0,
    )
    with _forward_stop(progress, stop_flag):
        rows: Any = iter(dataset.iter_rows())
        reports = (row["report"] for row in rows)
        try:
            yield reports
        finally:
            # Closed here, not by garbage collection: after Ray was left, that would connect to Ray again and wait
            # for a cluster that may no longer exist.
            reports.close()
            if hasattr(rows, "close"):
                rows.close()
            ray.kill(stop_flag)


@contextmanager
def _forward_stop(progress: Progress, stop_flag: Any) -> Generator[None]:  # noqa: ANN401
    """Set the stop flag as soon as `progress` asks to stop, however long the next report takes."""
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(0.2):
            if progress.stop_requested:
                stop_flag.set.remote()
                return

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
