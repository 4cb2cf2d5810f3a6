"""Explain one image or post: its records, where they are stored, what determined their keys, and what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import StagePlan
from ita_pipeline.cache.reasons import CAUSE_OF_GROUP
from ita_pipeline.cache.records import read_lines
from ita_pipeline.cache.store import RecordReader, Store
from ita_pipeline.extraction.pictures import ExtractionPlan
from stages.base import Subject


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
class Explanation:
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


def explain(plan: ExtractionPlan, store: Store) -> Explanation:
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
    return Explanation(item.label, item.key, stages)


def _explain_stage(plan: StagePlan, item_key: str, store: Store) -> StageExplanation:
    status, reasons = _find_status(plan)
    for key in [plan.key, *store.other_keys(plan.key)]:
        folder = store.folder(key)
        store.index.refresh(folder)
        for entry in store.index.find_entries(folder, [item_key]):
            return StageExplanation(plan.stage.name, status, reasons, plan.key, _read_record(entry), key)
    return StageExplanation(plan.stage.name, status, reasons, plan.key)


def _find_status(plan: StagePlan) -> tuple[ItemStatus, tuple[str, ...]]:
    if plan.stale:
        return ItemStatus.STALE, tuple(str(reason) for reason in plan.stale[0].reasons)
    if plan.failed:
        failure = plan.failed[0].failure
        return ItemStatus.FAILED, (f"{failure.reason} ({failure.kind})",)
    return ItemStatus.FRESH, ()


def _read_record(entry: IndexEntry) -> StoredRecord:
    with RecordReader() as reader:
        content = json.loads(reader.read_line(entry))
    with entry.segment.open("rb") as file:
        number = next(line.number for line in read_lines(file) if line.start == entry.start)
    return StoredRecord(entry.segment, number, content)


def list_components(key: StageKey) -> Iterator[tuple[str, str]]:
    """The names and values of a key's components."""
    yield "version", str(key.components.get("version"))
    for group, name in {**CAUSE_OF_GROUP, "reads": "reads"}.items():
        for part, value in key.components.get(group, {}).items():
            yield f"{name} {part}", value if isinstance(value, str) else json.dumps(value)
