"""Batches for every engine: which items a stage gets, and which records and failures result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ita_pipeline.cache.plan import FailedItem
from ita_pipeline.cache.records import Record, encode
from ita_pipeline.engines.executor import Job, StageResults
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Stage, Subject, Value


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcome of a batch: its records and their lines, the failures among them, the failures of upstream
    stages, which get no record, and why the stage stopped, if it did.
    """

    records: list[Record]
    lines: bytes
    failed: list[FailedItem]
    inherited: list[FailedItem]
    stop: Postponed | None = None


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """The items of a batch, the jobs for the stage, and the failures inherited from upstream stages."""

    items: Sequence[ItemRef]
    jobs: list[Job]
    inherited: list[FailedItem]

    def outcome(self, results: StageResults) -> BatchOutcome:
        """The outcome of the batch from the results of its jobs."""
        seconds = results.seconds / max(1, len(self.jobs))
        records: list[Record] = []
        failed: list[FailedItem] = []
        stops: list[Postponed] = []
        for job, result in zip(self.jobs, results.results, strict=True):
            if isinstance(result, Postponed):
                stops.append(result)
                continue
            records.append(Record(job.item.key, result, seconds))
            if isinstance(result, Failure):
                failed.append(FailedItem(job.item, result))
        lines = b"".join(results.lines.get(record.image) or encode(record) for record in records)
        stop = max(stops, key=lambda postponed: postponed.broken, default=None)
        return BatchOutcome(records, lines, failed, self.inherited, stop)


def prepare_batch(items: Sequence[ItemRef], upstream: Mapping[str, Mapping[str, Value | Failure]]) -> PreparedBatch:
    """Make jobs of the items that a stage can process now.

    `upstream` are the results of the stages that it reads, by stage and by the key of the item.

    An item on which an upstream stage failed fails too, but gets no record, so that it is processed as soon as the
    upstream stage succeeds. An item that an upstream stage has postponed is left out.
    """
    jobs: list[Job] = []
    inherited: list[FailedItem] = []
    for item in items:
        results = {name: by_item[item.key] for name, by_item in upstream.items() if item.key in by_item}
        values = {name: result for name, result in results.items() if isinstance(result, Value)}
        failures = {name: result for name, result in results.items() if isinstance(result, Failure)}
        if failures:
            name, failure = next(iter(failures.items()))
            inherited.append(FailedItem(item, Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")))
        elif item.image is None or values.keys() == upstream.keys():
            jobs.append(Job(item, values))
    return PreparedBatch(items, jobs, inherited)


def upstream_key(above: Stage[Any], item: ItemRef) -> str:
    """The key of the item that an upstream stage has processed: the item, or its image; empty if it has none."""
    if above.subject is Subject.POST:
        return item.key
    return item.image.key if item.image else ""
