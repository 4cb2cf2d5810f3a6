"""What runs in an actor of Ray: stages opened once, in a process of their own, and segments for it alone.

It is handed paths, keys and places in the cache, never pixels or results, and returns counts.
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

from ita_pipeline.cache.compaction import writing
from ita_pipeline.cache.index import Entry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import SegmentWriter
from ita_pipeline.cache.store import KEY_FILE, Reader, Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.engines.batches import read_of, run_batch
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Stage, StageError, Value
from stages.models.threads import limit_cores

Known = dict[str, dict[str, Value | Failure]]


@dataclass(frozen=True, slots=True)
class Part:
    """A stage, its key, whether it replaces earlier results, and the stages that it reads."""

    stage: Stage[Any]
    key: StageKey
    anew: bool
    above: tuple[Stage[Any], ...]


@dataclass(frozen=True, slots=True)
class Orders:
    """What every actor of a round is told: where the store is, `here` the folder of the driver, and the stages."""

    root: Path
    here: Path
    limits: Limits
    cores: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Items, by stage those of them that it has to look at, and by stage and key where it is written what a stage
    above said of them before.
    """

    items: tuple[ItemRef, ...]
    todo: Mapping[str, tuple[int, ...]]
    places: Mapping[str, Mapping[str, Entry]]


@dataclass(frozen=True, slots=True)
class Through:
    """What a stage went through: a number of items; those that failed with a stage above, for which no record
    stands; and why it stopped, if it did.
    """

    stage: str
    items: int
    seconds: float
    inherited: Mapping[str, Failure] = field(default_factory=dict)
    stop: Postponed | None = None


@dataclass(slots=True)
class Report:
    """What an actor says of a task, done or half done: whether it was told to stop, or what keeps it from it.
    Where a segment was gone that says what other stages found, it `missed` something.
    """

    actor: str
    through: list[Through] = field(default_factory=list)
    missed: bool = False
    stopped: bool = False
    error: Exception | None = None


class Flag:
    """An actor of its own that says to the others that a run is to stop."""

    def __init__(self) -> None:
        self.up = False

    def raise_it(self) -> None:
        self.up = True

    def is_up(self) -> bool:
        return self.up


class StageActor:
    """Goes through tasks, one after the other. It never raises, for what is wrong is for the driver to tell."""

    def __init__(self, orders: Orders, flag: Any) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.orders, self.flag = orders, flag
        limit_cores(orders.cores)
        self.worker = SubprocessExecutor(orders.limits, orders.cores)
        self.writers: dict[str, SegmentWriter] = {}
        self.stops: dict[str, Postponed] = {}
        self.opening: list[Through] = []
        self.stack = ExitStack()
        self.trouble: Exception | None = None
        try:
            self.make_ready()
        except Exception as error:
            self.trouble = error

    def make_ready(self) -> None:
        """
        Raises:
            StageError: this machine does not see the workspace, or a stage cannot be opened.
        """
        with contextlib.suppress(OSError):  # where no path starts from it, it need not be there
            os.chdir(self.orders.here)
        store = Store(self.orders.root)
        for part in self.orders.parts:
            if not (store.folder(part.key) / KEY_FILE).is_file():
                where = f"{self.orders.root} of the driver is not on {socket.gethostname()}"
                raise StageError(f"{where}, where an actor runs", "--workspace DIR on a file system that all share")
        for part in self.orders.parts:
            began = time.perf_counter()
            self.worker.open(part.stage)
            self.writers[part.stage.name] = self.stack.enter_context(writing(store, part.key, part.anew))
            self.opening.append(Through(part.stage.name, 0, time.perf_counter() - began))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Report]]:
        return {"report": [self.report(task) for task in batch["task"]]}

    def report(self, task: Task) -> Report:
        report = Report(self.name, self.opening, error=self.trouble)
        self.opening = []
        if report.error is None:
            try:
                self.go_through(task, report)
            except Exception as error:
                report.error = error
        return report

    def go_through(self, task: Task, report: Report) -> None:
        known = read_places(task, self.orders.parts)
        report.missed = any(entries.keys() - known[name].keys() for name, entries in task.places.items())
        self.worker.prefetch([item.image for item in task.items if item.image is not None])
        for part in self.orders.parts:
            stale = [task.items[number] for number in task.todo.get(part.stage.name, ())]
            for batch in batched(stale, part.stage.batch_size):
                if part.stage.name in self.stops:
                    break
                report.stopped = self.told_to_stop()
                if report.stopped:
                    return
                report.through.append(self.work_on(part, batch, known))
        report.stopped = self.told_to_stop()

    def told_to_stop(self) -> bool:
        import ray

        return bool(ray.get(self.flag.is_up.remote()))

    def work_on(self, part: Part, items: Sequence[ItemRef], known: Known) -> Through:
        began = time.perf_counter()
        name = part.stage.name
        above = {other.name: seen_by(other, items, known) for other in part.above}
        found = run_batch(part.stage, items, above, self.worker)
        self.writers[name].append_lines(found.lines)
        known.setdefault(name, {}).update({record.image: record.result for record in found.records})
        if found.stop is not None:
            self.stops[name] = found.stop
        inherited = {failed.item.key: failed.failure for failed in found.inherited}
        return Through(name, len(items), time.perf_counter() - began, inherited, found.stop)


def seen_by(above: Stage[Any], items: Sequence[ItemRef], known: Known) -> dict[str, Value | Failure]:
    """What a stage above said, by the key of the item that is worked on now."""
    said = known.get(above.name, {})
    return {item.key: said[read] for item in items if (read := read_of(above, item)) in said}


def read_places(task: Task, parts: Sequence[Part]) -> Known:
    """What was said before, read from where it stands. A segment that was tidied away meanwhile is left out: what
    needs it stays stale.
    """
    stages = {stage.name: stage for part in parts for stage in part.above}
    known: Known = {}
    with Reader() as reader:
        for name, entries in task.places.items():
            known[name] = {}
            for key, entry in entries.items():
                with contextlib.suppress(FileNotFoundError):
                    known[name][key] = reader.read(entry, stages[name]).result
    return known
