# Ray is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The Ray actor, and how Ray Data runs tasks in actors.

An actor opens stages once, in a process of its own, and writes segments of its own. It receives paths, keys and
positions in the cache, never pixels or results, and returns counts.
"""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.keys import KEY_FILE, StageKey
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import RecordReader, Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.batches import prepare_batch
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.ray.cluster import ActorResources
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Result, Stage, StageError
from stages.batching import batched
from stages.models.threads import limit_cores

# The results of stages by stage and item.
StageItemResults = dict[str, dict[str, Result]]

# Ray accounts for every block; with more tasks, a block holds several.
MAX_BLOCKS = 20_000


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage, its key, whether its results replace earlier ones, and the stages that it reads."""

    stage: Stage[Any]
    key: StageKey
    replace: bool
    upstream: tuple[Stage[Any], ...]


@dataclass(frozen=True, slots=True)
class ActorConfig:
    """The settings of all actors: the store, the driver's working folder, the limits, the cores, and the stages."""

    store_root: Path
    driver_folder: Path
    limits: Limits
    cores: int
    stages: tuple[StageSpec, ...]


@dataclass(frozen=True, slots=True)
class ActorTask:
    """Items, those that are stale for each stage, and the earlier records of upstream stages by item."""

    items: Sequence[ItemRef]
    stale: Mapping[str, Sequence[ItemRef]]
    entries: Mapping[str, Mapping[str, IndexEntry]]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch that a stage processed: its number of items, its seconds, the failures of upstream stages, which get
    no record, and why the stage stopped, if it did.
    """

    stage: str
    items: int
    seconds: float
    inherited: Mapping[str, Failure] = field(default_factory=dict)
    stop: Postponed | None = None


@dataclass(slots=True)
class TaskReport:
    """An actor's report on a task: the batches it processed, and why it did not finish the task, if it did not.

    `is_incomplete` tells that a segment with upstream results no longer exists, so that some items stay stale.
    """

    actor: str
    batches: list[BatchReport] = field(default_factory=list)
    is_incomplete: bool = False
    is_stopped: bool = False
    error: Exception | None = None


class StageActor:
    """Runs tasks one after the other. It never raises: the driver raises the errors that it reports."""

    def __init__(self, config: ActorConfig, stop_flag: Any) -> None:  # noqa: ANN401
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.config, self.stop_flag = config, stop_flag
        limit_cores(config.cores)
        self.executor = SubprocessExecutor(config.limits, config.cores)
        self.writers: dict[str, SegmentWriter] = {}
        self.stopped_stages: set[str] = set()
        self.exit_stack = ExitStack()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[TaskReport]]:
        """Run the tasks of a Ray Data batch."""
        return {"report": [self._report_task(task) for task in batch["task"]]}

    def _report_task(self, task: ActorTask) -> TaskReport:
        report = TaskReport(self.name)
        try:
            if not self.writers:
                self._open_stages(report)
            self._run_task(task, report)
        except Exception as error:
            report.error = error
        return report

    def _open_stages(self, report: TaskReport) -> None:
        """Open the stages and their segments.

        Raises:
            StageError: this machine cannot access the workspace, or a stage cannot be opened.
        """
        with suppress(OSError):  # the folder is needed only for relative paths
            os.chdir(self.config.driver_folder)
        store = Store(self.config.store_root)
        for spec in self.config.stages:
            if not (store.folder(spec.key) / KEY_FILE).is_file():
                where = f"{self.config.store_root} of the driver is not on {socket.gethostname()}"
                raise StageError(f"{where}, where an actor runs", "--workspace DIR on a file system that all share")
        for spec in self.config.stages:
            start = time.perf_counter()
            self.executor.open(spec.stage)
            report.batches.append(BatchReport(spec.stage.name, 0, time.perf_counter() - start))
        for spec in self.config.stages:
            writer = open_writer(store, spec.key, spec.replace)
            self.writers[spec.stage.name] = self.exit_stack.enter_context(writer)

    def _run_task(self, task: ActorTask, report: TaskReport) -> None:
        results = _read_entries(task, self.config.stages)
        report.is_incomplete = any(entries.keys() - results[name].keys() for name, entries in task.entries.items())
        self.executor.prefetch([item.image for item in task.items if item.image is not None])
        for spec in self.config.stages:
            for batch in batched(task.stale[spec.stage.name], spec.stage.batch_size):
                if spec.stage.name in self.stopped_stages:
                    break
                report.is_stopped = self._should_stop()
                if report.is_stopped:
                    return
                report.batches.append(self._run_batch(spec, batch, results))
        report.is_stopped = self._should_stop()

    def _should_stop(self) -> bool:
        import ray

        return bool(ray.get(self.stop_flag.is_set.remote()))

    def _run_batch(self, spec: StageSpec, items: Sequence[ItemRef], results: StageItemResults) -> BatchReport:
        start = time.perf_counter()
        name = spec.stage.name
        upstream = [(above, results.get(above.name, {})) for above in spec.upstream]
        batch = prepare_batch(spec.stage, items, upstream)
        outcome = batch.outcome(self.executor.run_task(batch.task))
        self.writers[name].append_lines(outcome.lines)
        results.setdefault(name, {}).update({record.image: record.result for record in outcome.records})
        if outcome.stop is not None:
            self.stopped_stages.add(name)
        inherited = {failed.item.key: failed.failure for failed in batch.inherited}
        return BatchReport(name, len(items), time.perf_counter() - start, inherited, outcome.stop)


def _read_entries(task: ActorTask, specs: Sequence[StageSpec]) -> StageItemResults:
    """Read the earlier records of upstream stages. What is not, or no longer, where the index says is left out."""
    stages = {stage.name: stage for spec in specs for stage in spec.upstream}
    results: StageItemResults = {}
    with RecordReader() as reader:
        for name, entries in task.entries.items():
            results[name] = {}
            for key, entry in entries.items():
                with suppress(FileNotFoundError, sqlite3.DatabaseError):
                    results[name][key] = reader.read(entry, stages[name]).result
    return results


@contextmanager
def run_tasks(
    config: ActorConfig, tasks: Sequence[ActorTask], resources: ActorResources, progress: Progress
) -> Generator[Iterable[TaskReport]]:
    """Run the tasks in actors and give the reports in the order in which they arrive."""
    import ray.data

    pool = ray.data.ActorPoolStrategy(size=min(resources.actors, len(tasks)), max_tasks_in_flight_per_actor=2)
    with _silence_ray_data(), _open_stop_flag(progress) as stop_flag:
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


@contextmanager
def _open_stop_flag(progress: Progress) -> Generator[Any]:
    """Give an event, an actor too, that is set as soon as `progress` asks to stop, however long a report takes."""
    import ray

    stop_flag: Any = ray.remote(num_cpus=0)(threading.Event).remote()
    finished = threading.Event()

    def poll() -> None:
        while not finished.wait(0.2):
            if progress.stop_requested:
                stop_flag.set.remote()
                return

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield stop_flag
    finally:
        finished.set()
        thread.join()
        ray.kill(stop_flag)


@contextmanager
def _silence_ray_data() -> Generator[None]:
    """Run Ray Data without progress bars and log lines, with small blocks, and with failed tasks reported."""
    from ray.data import DataContext

    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            context = DataContext.get_current().copy()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            # The engine itself gives the tasks of a dead actor to another one.
            context.max_errored_blocks = -1
            context.target_max_block_size = 1024 * 1024
            with DataContext.current(context):
                yield
    finally:
        logger.setLevel(level)
