"""What of a batch is handed to a stage, and what comes back: the same for every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ita_pipeline.cache.plan import Failed
from ita_pipeline.cache.records import Record, encode
from ita_pipeline.engines.executor import Executor, Job, StageJobs, StageResults
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Stage, Subject, Value


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcome of a batch: its records and their lines, failures of the stages above, and why the stage stopped,
    if it did.
    """

    records: list[Record]
    lines: bytes
    inherited: list[Failed]
    stop: Postponed | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """The items of a batch, those of them that the stage has to look at, and those that a stage above failed on."""

    items: Sequence[ItemRef]
    jobs: list[Job]
    inherited: list[Failed]

    def batch(self, done: StageResults) -> Batch:
        seconds = done.seconds / max(1, len(self.jobs))
        pairs = list(zip(self.jobs, done.results, strict=True))
        records = [Record(job.item.key, each, seconds) for job, each in pairs if not isinstance(each, Postponed)]
        lines = b"".join(done.lines.get(record.image) or encode(record) for record in records)
        stops = [result for result in done.results if isinstance(result, Postponed)]
        return Batch(records, lines, self.inherited, max(stops, key=lambda stop: stop.broken, default=None))


Known = Mapping[str, Mapping[str, Value | Failure]]


def run_batch(stage: Stage[Any], items: Sequence[ItemRef], known: Known, executor: Executor) -> Batch:
    """Have a stage look at a batch; `known` as in `handed_on`.

    Raises:
        StageError: the stage cannot work at all.
    """
    handed = handed_on(items, known)
    return handed.batch(executor.run_task(StageJobs(stage, handed.jobs)))


def handed_on(items: Sequence[ItemRef], known: Known) -> Handed:
    """Items are looked at unless a stage above failed on them: they fail with it, without a record of their own.

    So they are looked at as soon as the stage above has read them after all. One that a stage above has left for
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
    return Handed(items, jobs, inherited)


def read_of(above: Stage[Any], item: ItemRef) -> str:
    """The key of that of an item which a stage above has looked at: itself, or its picture, if it has one."""
    if above.subject is Subject.POST:
        return item.key
    return item.image.key if item.image else ""


def new_failures(items: Sequence[ItemRef], records: Sequence[Record]) -> list[Failed]:
    by_key = {item.key: item for item in items}
    return [Failed(by_key[r.image], r.result) for r in records if isinstance(r.result, Failure)]
