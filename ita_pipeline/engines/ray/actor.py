# Ray is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The Ray actor: it opens stages once, in a process of its own, and writes segments of its own.

It receives paths, keys and positions in the cache, never pixels or results, and returns counts.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.compaction import open_writer
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.keys import KEY_FILE, StageKey
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import RecordReader, Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.engines.batches import prepare_batch, upstream_key
from ita_pipeline.engines.executor import Limits, StageJobs
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Stage, StageError, Value
from stages.models.threads import limit_cores

# The results of stages by stage and item.
StageItemResults = dict[str, dict[str, Value | Failure]]


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
    """Items, the positions of each stage's stale items, and the earlier records of upstream stages by item."""

    items: tuple[ItemRef, ...]
    stale: Mapping[str, tuple[int, ...]]
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


class StopFlag:
    """An actor that tells the other actors whether the run should stop."""

    def __init__(self) -> None:
        self.value = False

    def set(self) -> None:
        """Ask the actors to stop."""
        self.value = True

    def is_set(self) -> bool:
        """Whether the actors should stop."""
        return self.value


class StageActor:
    """Runs tasks one after the other. It never raises: the driver raises the errors that it reports."""

    def __init__(self, config: ActorConfig, stop_flag: Any) -> None:  # noqa: ANN401
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.config, self.stop_flag = config, stop_flag
        limit_cores(config.cores)
        self.executor = SubprocessExecutor(config.limits, config.cores)
        self.writers: dict[str, SegmentWriter] = {}
        self.stops: dict[str, Postponed] = {}
        self.opening: list[BatchReport] = []
        self.exit_stack = ExitStack()
        self.error: Exception | None = None
        try:
            self._open_stages()
        except Exception as error:
            self.error = error

    def _open_stages(self) -> None:
        """Open the stages and their segments.

        Raises:
            StageError: this machine cannot access the workspace, or a stage cannot be opened.
        """
        with contextlib.suppress(OSError):  # the folder is needed only for relative paths
            os.chdir(self.config.driver_folder)
        store = Store(self.config.store_root)
        for spec in self.config.stages:
            if not (store.folder(spec.key) / KEY_FILE).is_file():
                where = f"{self.config.store_root} of the driver is not on {socket.gethostname()}"
                raise StageError(f"{where}, where an actor runs", "--workspace DIR on a file system that all share")
        for spec in self.config.stages:
            start = time.perf_counter()
            self.executor.open(spec.stage)
            writer = open_writer(store, spec.key, spec.replace)
            self.writers[spec.stage.name] = self.exit_stack.enter_context(writer)
            self.opening.append(BatchReport(spec.stage.name, 0, time.perf_counter() - start))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[TaskReport]]:
        """Run the tasks of a Ray Data batch."""
        return {"report": [self._report_task(task) for task in batch["task"]]}

    def _report_task(self, task: ActorTask) -> TaskReport:
        report = TaskReport(self.name, self.opening, error=self.error)
        self.opening = []
        if report.error is None:
            try:
                self._run_task(task, report)
            except Exception as error:
                report.error = error
        return report

    def _run_task(self, task: ActorTask, report: TaskReport) -> None:
        results = _read_entries(task, self.config.stages)
        report.is_incomplete = any(entries.keys() - results[name].keys() for name, entries in task.entries.items())
        self.executor.prefetch([item.image for item in task.items if item.image is not None])
        for spec in self.config.stages:
            stale = [task.items[number] for number in task.stale.get(spec.stage.name, ())]
            for batch in batched(stale, spec.stage.batch_size):
                if spec.stage.name in self.stops:
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
        upstream = {above.name: _select_results(above, items, results) for above in spec.upstream}
        prepared = prepare_batch(items, upstream)
        outcome = prepared.outcome(self.executor.run_task(StageJobs(spec.stage, prepared.jobs)))
        self.writers[name].append_lines(outcome.lines)
        results.setdefault(name, {}).update({record.image: record.result for record in outcome.records})
        if outcome.stop is not None:
            self.stops[name] = outcome.stop
        inherited = {failed.item.key: failed.failure for failed in outcome.inherited}
        return BatchReport(name, len(items), time.perf_counter() - start, inherited, outcome.stop)


def _select_results(
    above: Stage[Any], items: Sequence[ItemRef], results: StageItemResults
) -> dict[str, Value | Failure]:
    """The results of an upstream stage, by the keys of the items that are processed now."""
    upstream = results.get(above.name, {})
    keys = {item.key: upstream_key(above, item) for item in items}
    return {item_key: upstream[key] for item_key, key in keys.items() if key in upstream}


def _read_entries(task: ActorTask, specs: Sequence[StageSpec]) -> StageItemResults:
    """Read the earlier records of upstream stages. A segment that was removed meanwhile is left out."""
    stages = {stage.name: stage for spec in specs for stage in spec.upstream}
    results: StageItemResults = {}
    with RecordReader() as reader:
        for name, entries in task.entries.items():
            results[name] = {}
            for key, entry in entries.items():
                with contextlib.suppress(FileNotFoundError):
                    results[name][key] = reader.read(entry, stages[name]).result
    return results
