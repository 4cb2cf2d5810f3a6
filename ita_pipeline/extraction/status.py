"""What is up to date: counts for each stage of a plan, and the explanation of one image or post.

An explanation shows the records of the item, where they are stored, what determined their keys, and what changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Plan, StagePlan
from ita_pipeline.cache.reasons import CAUSE_OF_GROUP
from ita_pipeline.cache.records import read_lines
from ita_pipeline.cache.store import RecordReader, Store
from ita_pipeline.extraction.items import ExtractionPlan
from ita_pipeline.sources.refs import Unreadable
from stages.base import Subject


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A row of the table. `seconds_forecast` is None if the stage was never measured."""

    stage: str
    key: str
    fresh: int
    stale: int
    failed: int
    reasons: Mapping[str, int]
    seconds_forecast: float | None
    failures: Mapping[str, int]
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The status of every stage, of the training if there is one, and the unreadable files.

    `unfinished` are folders of trainings that can be resumed; they do not make anything stale.
    """

    stages: tuple[StageStatus, ...]
    unreadable: tuple[Unreadable, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether any item is stale."""
        return any(row.stale for row in self.stages)

    @property
    def damaged(self) -> bool:
        """Whether any record is damaged."""
        return any(row.damaged for row in self.stages)

    @property
    def clean(self) -> bool:
        """Whether nothing is stale, damaged, unreadable or failed."""
        return not (self.stale or self.damaged or self.unreadable or any(row.failed for row in self.stages))

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita status --json`."""
        return {
            "schema": "ita.status/1",
            "stages": [asdict(row) for row in self.stages],
            "unreadable": len(self.unreadable),
            "unfinished": [str(folder) for folder in self.unfinished],
            "clean": self.clean,
        }


def status_of(plan: Plan, unreadable: tuple[Unreadable, ...] = (), training: StageStatus | None = None) -> Status:
    """Summarize a plan."""
    rows = [_stage_row(stage) for stage in plan.stages]
    return Status(tuple(rows if training is None else [*rows, training]), unreadable)


def _stage_row(plan: StagePlan) -> StageStatus:
    forecast = plan.forecast
    return StageStatus(
        stage=plan.stage.name,
        key=plan.key.hexdigest,
        fresh=plan.fresh,
        stale=len(plan.stale) + plan.waiting,
        failed=len(plan.failed),
        reasons=dict(plan.reasons.most_common()),
        seconds_forecast=None if forecast is None else round(forecast, 2),
        failures=dict(Counter(failed.failure.kind for failed in plan.failed)),
        damaged=len(plan.damage),
    )


class ItemStatus(StrEnum):
    """A stage's status for one image or post."""

    FRESH = "fresh"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in the cache: its segment, its line number counted from 1, and its content."""

    segment: Path
    line: int
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {"segment": str(self.segment), "line": self.line, "content": self.content}


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """One stage's status for an item. `record` is the current record, else the latest older one, and `record_key`
    its key.
    """

    stage: str
    status: ItemStatus
    reasons: tuple[str, ...]
    key: StageKey
    record: StoredRecord | None = None
    record_key: StageKey | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether the record has another key than the current one."""
        return self.record_key is not None and self.record_key.hexdigest != self.key.hexdigest

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return {
            "stage": self.stage,
            "state": self.status,
            "reasons": list(self.reasons),
            "key": self.key.hexdigest,
            "components": self.key.components,
            "record": self.record.to_json() if self.record else None,
            "record_key": self.record_key.hexdigest if self.record_key else None,
        }


@dataclass(frozen=True, slots=True)
class ItemExplanation:
    """The label and key of an image or a post, and the explanation of every stage."""

    label: str
    key: str
    stages: tuple[StageExplanation, ...]

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return {
            "schema": "ita.why/1",
            "path": self.label.encode("utf-8", "backslashreplace").decode(),
            "image": self.key,
            "stages": [stage.to_json() for stage in self.stages],
        }


def explain(plan: ExtractionPlan, store: Store) -> ItemExplanation:
    """Explain the only image of a plan, or its only post with the image of that post."""
    image = plan.images[0] if plan.images else None
    post = next(iter(plan.posts.values()), None)
    items = {Subject.PICTURE: image, Subject.POST: post}
    stages = tuple(
        _explain_stage(stage_plan, item.key, store)
        for stage_plan in plan.plan.stages
        if (item := items[stage_plan.stage.subject]) is not None
    )
    item = post or image
    assert item is not None
    return ItemExplanation(item.label, item.key, stages)


def _explain_stage(plan: StagePlan, item_key: str, store: Store) -> StageExplanation:
    status, reasons = _find_status(plan)
    for key in [plan.key, *store.other_keys(plan.key)]:
        folder = store.folder(key)
        store.index.refresh(folder)
        record = store.index.attempt(partial(_find_record, store, folder, item_key))
        if record is not None:
            return StageExplanation(plan.stage.name, status, reasons, plan.key, record, key)
    return StageExplanation(plan.stage.name, status, reasons, plan.key)


def _find_status(plan: StagePlan) -> tuple[ItemStatus, tuple[str, ...]]:
    if plan.stale:
        return ItemStatus.STALE, tuple(str(reason) for reason in plan.stale[0].reasons)
    if plan.failed:
        failure = plan.failed[0].failure
        return ItemStatus.FAILED, (f"{failure.reason} ({failure.kind})",)
    return ItemStatus.FRESH, ()


def _find_record(store: Store, folder: Path, item_key: str) -> StoredRecord | None:
    for entry in store.index.find_entries(folder, [item_key]):
        with RecordReader() as reader:
            content = json.loads(reader.read_line(entry))
        with entry.segment.open("rb") as file:
            number = next(line.number for line in read_lines(file) if line.start == entry.start)
        return StoredRecord(entry.segment, number, content)
    return None


def list_components(key: StageKey) -> Iterator[tuple[str, str]]:
    """The names and values of a key's components."""
    yield "version", str(key.components.get("version"))
    for group, name in {**CAUSE_OF_GROUP, "reads": "reads"}.items():
        for part, value in key.components.get(group, {}).items():
            yield f"{name} {part}", value if isinstance(value, str) else json.dumps(value)
