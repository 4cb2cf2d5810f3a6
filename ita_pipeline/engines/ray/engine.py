"""Run a plan on the machines of a Ray cluster. Ray Data only executes: the plan says what is to be done, and the
store what was done.

Stages that look at pictures go together through the same tasks, so that each picture is decoded once; those that
look at posts follow, as they may read what was seen. What was lost with an actor is found missing in the store, and
is given out again.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.compaction import writing
from ita_pipeline.cache.index import Entry
from ita_pipeline.cache.plan import Plan, StagePlan, Stale
from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.engines import local
from ita_pipeline.engines.base import Interrupted, StageOutcome
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.ray.actor import Flag, Orders, Part, Report, StageActor, Task
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
from stages.base import Postponed, Stage, StageError, Subject
from stages.models.threads import limit_cores

logger = logging.getLogger(__name__)

# Ray keeps an account of every block; a task takes several groups where there would be more.
MOST_BLOCKS = 20_000

SECONDS_BETWEEN_LOOKS = 0.2

LOST = Postponed(reason="actors died again before anything more was done; ray status and ray list actors say more")


class RayEngine:
    """Runs plans in actors. It starts or reaches a cluster only where there is something to do."""

    def __init__(self, pool: RayPool, limits: Limits | None = None) -> None:
        """
        Raises:
            MissingError: Ray is not installed.
        """
        require_ray()
        self.pool, self.limits = pool, limits or Limits()
        # For stages that keep count; it lasts from one plan to the next, and so does the count.
        self.executor = SubprocessExecutor(self.limits)

    def close(self) -> None:
        self.executor.close()

    def run(self, plan: Plan, store: Store, progress: Progress) -> tuple[StageOutcome, ...]:
        """As `Engine.run`.

        Raises:
            MissingError: no cluster answers.
            UsageError: the cluster has not what is asked of it.
        """
        plan.check()
        tallies = {todo.stage.name: StageProgress.begun(todo, store) for todo in plan.stages}
        if any(todo.stale for todo in plan.stages):
            outcomes = self.outcomes(plan, tallies, store, progress)
        else:
            outcomes = {name: tally.outcome(store) for name, tally in tallies.items()}
        for todo in plan.stages:
            store.mark_used(todo.key)
        return tuple(outcomes[todo.stage.name] for todo in plan.stages)

    def outcomes(
        self, plan: Plan, tallies: Mapping[str, StageProgress], store: Store, progress: Progress
    ) -> dict[str, StageOutcome]:
        outcomes: dict[str, StageOutcome] = {}
        with connected(self.pool) as nodes, quiet_data():
            each = shares(self.pool, nodes)
            logger.info(f"Ray: {each}")
            try:
                for todo in plan.stages:
                    if todo.stale:
                        progress.start(todo.stage.name, len(todo.stale))
                for part in rounds(plan.stages):
                    names = {todo.stage.name for todo in part}
                    if part[0].stage.alone:
                        outcomes |= self.by_one(names, plan, store, progress)
                    else:
                        self.by_actors([tallies[name] for name in names_of(part)], plan, store, progress, each)
                        outcomes |= {name: tallies[name].outcome(store) for name in names}
            finally:
                progress.finish()
        return outcomes

    def by_one(self, names: set[str], plan: Plan, store: Store, progress: Progress) -> dict[str, StageOutcome]:
        """Stages that keep count of a whole run work where the run was started, as without Ray."""
        rest = tuple(todo if todo.stage.name in names else replace(todo, stale=()) for todo in plan.stages)
        outcomes = local.run(Plan(rest), store, self.executor, _AdvanceOnly(progress))
        return {outcome.key.stage: outcome for outcome in outcomes if outcome.key.stage in names}

    def by_actors(
        self, tallies: Sequence[StageProgress], plan: Plan, store: Store, progress: Progress, each: ActorResources
    ) -> None:
        """Give out what is left, and once more what was lost, as long as something gets done."""
        before, whole = 0, False
        while True:
            left = {tally.name: tally.left(store) for tally in tallies}
            for tally in tallies:
                tally.catch_up(left[tally.name], progress)
            number = sum(map(len, left.values()))
            if not number or whole:
                return
            if number == before:
                for tally in tallies:
                    tally.stop = tally.stop or (LOST if left[tally.name] else None)
                return
            before = number
            some = [tally for tally in tallies if left[tally.name]]
            whole = self.give_out(some, left, plan, store, progress, each)

    def give_out(
        self,
        tallies: Sequence[StageProgress],
        left: Mapping[str, Sequence[Stale]],
        plan: Plan,
        store: Store,
        progress: Progress,
        each: ActorResources,
    ) -> bool:
        """Whether actors said of every task what became of it."""
        parts = [part_of(tally.todo, plan) for tally in tallies]
        for part in parts:  # so that an actor sees whether it sees our store
            with writing(store, part.key):
                pass
        orders = Orders(store.root.absolute(), Path.cwd(), self.limits, each.whole_cores, tuple(parts))
        tasks = list(tasks_of(parts, left, plan, store, each.whole_cores))
        by_name = {tally.name: tally for tally in tallies}
        with reports(orders, tasks, each, progress) as answers:
            stopped: set[str] = set()
            told = 0
            for report in answers:
                told += not report.missed
                for through in report.through:
                    by_name[through.stage].note(through, progress)
                if report.error is not None:
                    raise report.error
                stop = next((through.stop for through in report.through if through.stop), None)
                if stop is not None and stop.broken:
                    name = next(through.stage for through in report.through if through.stop is stop)
                    raise StageError(f"the stage {name} stopped: {stop.reason}", stop.hint)
                if report.stopped:
                    stopped.add(report.actor)
                    if len(stopped) == each.actors:
                        break
        if progress.stop_requested:
            raise Interrupted
        return told == len(tasks)


class _AdvanceOnly(NoProgress):
    """Progress of a run within another run, which starts and finishes the display itself."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @property
    def stop_requested(self) -> bool:
        return self.progress.stop_requested

    def advance(self, stage: str, done: int) -> None:
        self.progress.advance(stage, done)


def rounds(stages: Sequence[StagePlan]) -> list[list[StagePlan]]:
    """Stages that can go through the same items together, in an order in which each finds what it reads."""

    def kind(todo: StagePlan) -> tuple[Subject, bool]:
        return todo.stage.subject, todo.stage.alone

    in_order = sorted(stages, key=lambda todo: todo.stage.subject is Subject.POST)
    return [list(group) for _, group in itertools.groupby(in_order, kind)]


def names_of(part: Sequence[StagePlan]) -> list[str]:
    return [todo.stage.name for todo in part]


def part_of(todo: StagePlan, plan: Plan) -> Part:
    above = tuple(other.stage for other in plan.stages if other.stage.name in todo.stage.reads)
    return Part(todo.stage, todo.key, todo.anew, above)


def tasks_of(
    parts: Sequence[Part], left: Mapping[str, Sequence[Stale]], plan: Plan, store: Store, cores: int
) -> Iterator[Task]:
    """The items that are left, as many at once as the stages want that read no other, and where it is written what
    the stages above said of them. What is found within a task is no business of the driver.
    """
    wanted = {part.stage.name: {stale.item.key for stale in left[part.stage.name]} for part in parts}
    items = list({stale.item.key: stale.item for part in parts for stale in left[part.stage.name]}.values())
    keys = plan.keys
    for name in {above.name for part in parts for above in part.above}:
        store.index.refresh(store.folder(keys[name]))
    for group in batched(items, group_size([part.stage for part in parts], cores)):
        todo = {
            name: tuple(number for number, item in enumerate(group) if item.key in mine)
            for name, mine in wanted.items()
        }
        places: dict[str, dict[str, Entry]] = {}
        for part in parts:
            mine = [group[number] for number in todo[part.stage.name]]
            for above in part.above:
                reads = {read_key for item in mine if (read_key := local.read_of(above, item))}
                old = sorted(reads - wanted.get(above.name, set()))
                found = store.index.entries(store.folder(keys[above.name]), old) if old else ()
                places.setdefault(above.name, {}).update((entry.image, whole(entry)) for entry in found)
        yield Task(tuple(group), todo, places)


def whole(entry: Entry) -> Entry:
    return replace(entry, segment=entry.segment.absolute())


def group_size(stages: Sequence[Stage[Any]], cores: int) -> int:
    """How many items a task has: a batch of the stage that wants most at once, with the cores of an actor."""
    before = limit_cores(cores)
    try:
        lookers = [stage for stage in stages if not stage.reads] or stages
        return max(stage.batch_size for stage in lookers)
    finally:
        limit_cores(before)


@contextmanager
def reports(
    orders: Orders, tasks: Sequence[Task], each: ActorResources, progress: Progress
) -> Iterator[Iterable[Report]]:
    """What actors say of the tasks, in whichever order they are through with them."""
    import ray
    import ray.data

    flag: Any = ray.remote(num_cpus=0)(Flag).remote()
    pool = ray.data.ActorPoolStrategy(size=min(each.actors, len(tasks)), max_tasks_in_flight_per_actor=2)
    rows = ray.data.from_items(
        [{"task": task} for task in tasks], override_num_blocks=min(len(tasks), MOST_BLOCKS)
    ).map_batches(
        StageActor,
        batch_size=1,
        batch_format="numpy",
        compute=pool,
        fn_constructor_args=(orders, flag),
        num_cpus=each.cores,
        num_gpus=each.gpus or None,
        max_restarts=-1,
        # An actor that died may have been through with some batches: what is left of its task is found out later.
        max_task_retries=0,
    )
    with watching(progress, flag):
        found = iter(rows.iter_rows())
        answers = (row["report"] for row in found)
        try:
            yield answers
        finally:
            # Ended here and not when somebody forgets them: once Ray was left, that would make it connect anew,
            # and wait for a cluster that may be gone.
            answers.close()
            close(found)
            ray.kill(flag)


def close(found: Iterator[Any]) -> None:
    end = getattr(found, "close", None)
    if end is not None:
        end()


@contextmanager
def watching(progress: Progress, flag: Any) -> Iterator[None]:
    """Pass the wish to stop on to the actors, however long the next report may take."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if progress.stop_requested:
                flag.raise_it.remote()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
