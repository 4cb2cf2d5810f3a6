"""Batches for every engine: which items a stage gets, and which records and failures result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ita_pipeline.cache.plan import FailedItem
from ita_pipeline.cache.records import Record, encode
from ita_pipeline.engines.executor import Job, StageJobs, StageResults
from ita_pipeline.sources.refs import ItemRef
from stages.base import Failure, Postponed, Result, Stage, StageError, Subject, Value


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcome of a batch: its records and their lines, the failures among them, and why the stage stopped, if
    it did.
    """

    records: list[Record]
    lines: bytes
    failed: list[FailedItem]
    stop: Postponed | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The items of a batch, the work for the stage, and the failures inherited from upstream stages."""

    items: Sequence[ItemRef]
    task: StageJobs
    inherited: list[FailedItem]

    def outcome(self, results: StageResults) -> BatchOutcome:
        """The outcome of the batch from the results of its jobs."""
        seconds = results.seconds / max(1, len(self.task.jobs))
        records: list[Record] = []
        failed: list[FailedItem] = []
        stops: list[Postponed] = []
        for job, result in zip(self.task.jobs, results.results, strict=True):
            if isinstance(result, Postponed):
                stops.append(result)
                continue
            records.append(Record(job.item.key, result, seconds))
            if isinstance(result, Failure):
                failed.append(FailedItem(job.item, result))
        lines = b"".join(results.lines.get(record.image) or encode(record) for record in records)
        stop = max(stops, key=lambda postponed: postponed.broken, default=None)
        return BatchOutcome(records, lines, failed, stop)


def prepare_batch(
    stage: Stage[Any], items: Sequence[ItemRef], upstream: Sequence[tuple[Stage[Any], Mapping[str, Result]]]
) -> Batch:
    """Make jobs of the items that a stage can process now.

    `upstream` are the stages that it reads, with their results by the keys of the items that they have processed.

    An item on which an upstream stage failed fails too, but gets no record, so that it is processed as soon as the
    upstream stage succeeds. An item that an upstream stage has postponed is left out.
    """
    jobs: list[Job] = []
    inherited: list[FailedItem] = []
    for item in items:
        results = {above.name: by_key.get(_upstream_key(above, item)) for above, by_key in upstream}
        values = {name: result for name, result in results.items() if isinstance(result, Value)}
        failures = {name: result for name, result in results.items() if isinstance(result, Failure)}
        if failures:
            name, failure = next(iter(failures.items()))
            inherited.append(FailedItem(item, Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")))
        elif item.image is None or len(values) == len(upstream):
            jobs.append(Job(item, values))
    return Batch(items, StageJobs(stage, jobs), inherited)


def upstream_keys(above: Stage[Any], items: Iterable[ItemRef]) -> set[str]:
    """The keys of the items that an upstream stage has processed: the items themselves, or their images."""
    return {key for item in items if (key := _upstream_key(above, item))}


def _upstream_key(above: Stage[Any], item: ItemRef) -> str:
    if above.subject is Subject.POST:
        return item.key
    return item.image.key if item.image else ""


def find_group_size(stages: Sequence[Stage[Any]]) -> int:
    """How many items go through all stages together: the largest batch size of the stages that read no other."""
    readers = [stage for stage in stages if not stage.reads] or stages
    return max((stage.batch_size for stage in readers), default=1)


def check_stop(stage: str, stop: Postponed | None) -> None:
    """Check that a stage has not stopped for good.

    Raises:
        StageError: it has, for the reason in `stop`.
    """
    if stop is not None and stop.broken:
        raise StageError(f"the stage {stage} stopped: {stop.reason}", stop.hint)
