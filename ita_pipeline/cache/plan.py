"""The plan: which stage has to look at which image, and why. Runs, dry runs and reports ask this one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ita_pipeline.cache.keys import StageKey, differences, stage_key
from ita_pipeline.cache.store import Store
from ita_pipeline.images import ImageRef
from stages.base import Failure, Stage


class Cause(StrEnum):
    """Why an image is stale."""

    NEW = "new image"
    CHANGED = "the stage changed"
    RETRY = "failed before, to be retried"


@dataclass(frozen=True, slots=True)
class Stale:
    """An image that a stage has to look at; `detail` says what differs from the last time."""

    image: ImageRef
    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that a stage could not read, remembered so that it is not tried on every run."""

    image: ImageRef
    failure: Failure


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage has to do."""

    stage: Stage[Any]
    key: StageKey
    fresh: int
    failed: tuple[Failed, ...]
    stale: tuple[Stale, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages in the order in which they can run: each after those that it reads."""

    stages: tuple[StagePlan, ...]

    @property
    def keys(self) -> dict[str, StageKey]:
        return {plan.stage.name: plan.key for plan in self.stages}


def make_plan(
    stages: Sequence[Stage[Any]], images: Sequence[ImageRef], store: Store, retry_failed: bool = False
) -> Plan:
    """Compare what is wanted with what the store has.

    Images of equal content are one image. Keys are taken of all `stages`, so those that one of them reads must
    be among them.

    Raises:
        StageError: a model or tool that a stage needs is missing.
        CorruptCacheError: the store was damaged.
    """
    distinct = list({image.key: image for image in images}.values())
    keys: dict[str, StageKey] = {}
    plans: list[StagePlan] = []
    for stage in in_order(stages):
        keys[stage.name] = stage_key(stage, keys)
        plans.append(plan_stage(stage, keys[stage.name], distinct, store, retry_failed))
    return Plan(tuple(plans))


def in_order(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    """Each stage after the ones it reads; otherwise in the order given."""
    waiting, ordered = list(stages), []
    while waiting:
        names = {stage.name for stage in waiting}
        ready = [stage for stage in waiting if not names & set(stage.reads)]
        if not ready:
            raise ValueError(f"stages read each other in a circle: {', '.join(sorted(names))}")
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


def plan_stage(
    stage: Stage[Any], key: StageKey, images: Sequence[ImageRef], store: Store, retry_failed: bool
) -> StagePlan:
    known = store.results(stage, key)
    fresh = 0
    failed: list[Failed] = []
    missing: list[ImageRef] = []
    retried: list[Stale] = []
    for image in images:
        record = known.get(image.key)
        if record is None:
            missing.append(image)
        elif not isinstance(record.result, Failure):
            fresh += 1
        elif retry_failed:
            retried.append(Stale(image, Cause.RETRY, record.result.reason))
        else:
            failed.append(Failed(image, record.result))
    stale = explain(key, missing, store) + retried
    return StagePlan(stage, key, fresh, tuple(failed), tuple(stale))


def explain(key: StageKey, images: Sequence[ImageRef], store: Store) -> list[Stale]:
    """Why each image has no record under this key: the nearest older key that has one tells what changed."""
    detail: dict[str, str] = {}
    unexplained = {image.key for image in images}
    for other in store.other_keys(key) if unexplained else ():
        seen = unexplained & store.images_under(other)
        if seen:
            changed = ", ".join(differences(other.components, key.components))
            detail |= dict.fromkeys(seen, changed)
            unexplained -= seen
        if not unexplained:
            break
    return [
        Stale(image, Cause.CHANGED, detail[image.key]) if image.key in detail else Stale(image, Cause.NEW)
        for image in images
    ]
