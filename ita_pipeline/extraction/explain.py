"""Everything about one picture: its records, where they lie, what decided them, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.index import Entry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import StagePlan
from ita_pipeline.cache.reasons import GROUPS
from ita_pipeline.cache.records import scan
from ita_pipeline.cache.store import Reader, Store
from ita_pipeline.extraction.pictures import ExtractionPlan
from stages.base import Subject


class Standing(StrEnum):
    """How a stage stands to a picture."""

    FRESH = "fresh"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """A record as it lies in the cache: its segment, the line counted from 1, and its content."""

    segment: Path
    line: int
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"segment": str(self.segment), "line": self.line, "content": self.content}


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """What one stage has to say of a picture. `record` is the one that holds now, or else the latest older one,
    under `record_key`.
    """

    stage: str
    standing: Standing
    reasons: tuple[str, ...]
    key: StageKey
    record: Place | None
    record_key: StageKey | None

    @property
    def older(self) -> bool:
        """Whether the record is from another key than the one wanted now."""
        return self.record_key is not None and self.record_key.hexdigest != self.key.hexdigest

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "state": self.standing,
            "reasons": list(self.reasons),
            "key": self.key.hexdigest,
            "components": self.key.components,
            "record": self.record.to_json() if self.record else None,
            "record_key": self.record_key.hexdigest if self.record_key else None,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """A picture or a post by what it is called and its key, and every stage's answer."""

    label: str
    key: str
    stages: tuple[StageExplanation, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "ita.why/1",
            "path": self.label.encode("utf-8", "backslashreplace").decode(),
            "image": self.key,
            "stages": [answer.to_json() for answer in self.stages],
        }


def explain(plan: ExtractionPlan, store: Store) -> Explanation:
    """The answers of all stages of a plan for its only picture, or its only post and the picture of that."""
    image = plan.images[0] if plan.images else None
    post = next(iter(plan.posts.values()), None)
    keys = {Subject.PICTURE: image.key if image else None, Subject.POST: post.key if post else None}
    answers = tuple(
        answer(part, key, store) for part in plan.plan.stages if (key := keys[part.stage.subject]) is not None
    )
    if post is not None:
        return Explanation(post.label, post.key, answers)
    assert image is not None
    return Explanation(image.label, image.key, answers)


def answer(part: StagePlan, image: str, store: Store) -> StageExplanation:
    standing, reasons = status_of(part)
    for key in [part.key, *store.other_keys(part.key)]:
        folder = store.folder(key)
        store.index.refresh(folder)
        for entry in store.index.entries(folder, [image]):
            return StageExplanation(part.stage.name, standing, reasons, part.key, place_of(entry), key)
    return StageExplanation(part.stage.name, standing, reasons, part.key, None, None)


def status_of(part: StagePlan) -> tuple[Standing, tuple[str, ...]]:
    if part.stale:
        return Standing.STALE, tuple(str(reason) for reason in part.stale[0].reasons)
    if part.failed:
        failure = part.failed[0].failure
        return Standing.FAILED, (f"{failure.reason} ({failure.kind})",)
    return Standing.FRESH, ()


def place_of(entry: Entry) -> Place:
    with Reader() as reader:
        content = json.loads(reader.line(entry))
    with entry.segment.open("rb") as opened:
        number = next(line.number for line in scan(opened) if line.start == entry.start)
    return Place(entry.segment, number, content)


def list_components(key: StageKey) -> Iterator[tuple[str, str]]:
    """The components of a key, one by one."""
    yield "version", str(key.components.get("version"))
    for group, name in {**GROUPS, "reads": "reads"}.items():
        for part, value in key.components.get(group, {}).items():
            yield f"{name} {part}", value if isinstance(value, str) else json.dumps(value)
