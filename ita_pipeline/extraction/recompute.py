"""Doing some pictures again, to measure whether that gives what the cache holds."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey, sort_stages, stage_keys
from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.engines.executor import Executor, Job
from ita_pipeline.extraction.posts import decode_post_ref
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef, ItemRef
from stages.base import Result, Stage, Subject, Value

# Numbers of two results that differ by no more than this, or by this part of themselves, are near each other.
NEAR = 0.01

NEAR_PIXELS = 1

# Pictures looked for before giving up, for each one wanted.
LOOKED_FOR = 20


class Agreement(StrEnum):
    """How a result computed again stands to the one that is cached.

    Near is one that says the same words and labels, in the same order, with numbers that differ by at most 0.01 or
    a hundredth, and whole ones by at most 1.
    """

    EQUAL = "equal"
    NEAR = "near"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Recomputation:
    """What came of doing a stage's pictures again. `lost` counts pictures that are no longer where they were, or
    whose results of a stage above are gone, so that they could not be done.
    """

    key: StageKey
    agreements: Mapping[Path, Agreement]
    lost: int

    def count(self, agreement: Agreement) -> int:
        return sum(found is agreement for found in self.agreements.values())

    @property
    def different(self) -> list[Path]:
        return [path for path, found in self.agreements.items() if found is Agreement.DIFFERENT]


def recompute(
    stages: Sequence[Stage[Any]], store: Store, executor: Executor, progress: Progress, count: int, seed: int = 0
) -> Iterator[Recomputation]:
    """Do `count` pictures of each stage again, chosen at random, and compare. Nothing is written.

    Raises:
        StageError: a model or tool is missing, or a stage cannot work at all.
        CorruptCacheError: a record is damaged.
    """
    keys = stage_keys(stages)
    for stage in sort_stages(stages):
        jobs, lost = sampled(stage, keys, stages, store, count, random.Random(seed))
        yield Recomputation(keys[stage.name], dict(compared(stage, keys, jobs, store, executor, progress)), lost)


def sampled(
    stage: Stage[Any],
    keys: Mapping[str, StageKey],
    stages: Sequence[Stage[Any]],
    store: Store,
    count: int,
    chance: random.Random,
) -> tuple[list[Job], int]:
    """Pictures with a value under the stage's key, as far as they can be done again."""
    folder = store.folder(keys[stage.name])
    store.index.refresh(folder)
    images = sorted(store.index.find_images_with_values(folder))
    candidates = chance.sample(images, min(len(images), LOOKED_FOR * count))
    jobs: list[Job] = []
    lost = 0
    for some in batched(candidates, count):
        items = known_items(stage, some, store)
        pictures = [item.image.key for item in items.values() if item.image is not None]
        above = {name: store.results(other, keys[name], pictures) for name, other in read_by(stage, stages).items()}
        for key in some:
            item = items.get(key)
            image = item.image.key if item is not None and item.image is not None else ""
            values = {name: found[image].result for name, found in above.items() if image in found}
            known = {name: value for name, value in values.items() if isinstance(value, Value)}
            if item is None or (image and known.keys() != above.keys()):
                lost += 1
            elif len(jobs) < count:
                jobs.append(Job(item, known))
        if len(jobs) == count:
            break
    return jobs, lost


def known_items(stage: Stage[Any], keys: Sequence[str], store: Store) -> dict[str, ItemRef]:
    """Those of these pictures, or posts, that are still known and as they were."""
    if stage.subject is Subject.POST:
        posts = {key: decode_post_ref(key, note.post) for key, note in store.manifest.find_posts(keys).items()}
        return {k: p for k, p in posts.items() if p.image is None or holds(p.image.path, p.image.key)}
    places = store.manifest.paths_of(keys)
    found = {key: next((p for p in map(as_path, places.get(key, [])) if holds(p, key)), None) for key in keys}
    return {key: ImageRef(key, LocalFile(path)) for key, path in found.items() if path is not None}


def read_by(stage: Stage[Any], stages: Sequence[Stage[Any]]) -> dict[str, Stage[Any]]:
    return {other.name: other for other in stages if other.name in stage.reads}


def as_path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def holds(path: Path | None, key: str) -> bool:
    """Whether a file still has the content that it had."""
    try:
        return path is not None and path.is_file() and hash_file(path) == key
    except OSError:
        return False


def compared(
    stage: Stage[Any],
    keys: Mapping[str, StageKey],
    jobs: Sequence[Job],
    store: Store,
    executor: Executor,
    progress: Progress,
) -> Iterator[tuple[Path, Agreement]]:
    if not jobs:
        return
    cached = store.results(stage, keys[stage.name], [job.item.key for job in jobs])
    executor.open(stage)
    progress.start(stage.name, len(jobs))
    try:
        for batch in batched(jobs, stage.batch_size):
            for job, result in zip(batch, executor.run_jobs(stage, batch), strict=True):
                yield Path(job.item.label), agreement(cached[job.item.key].result, result)
            progress.advance(stage.name, len(batch))
            if progress.stop_requested:
                raise Interrupted
    finally:
        progress.finish()


def agreement(cached: Result, again: Result) -> Agreement:
    if type(cached) is not type(again):
        return Agreement.DIFFERENT
    before, after = cached.model_dump(mode="json"), again.model_dump(mode="json")
    if before == after:
        return Agreement.EQUAL
    return Agreement.NEAR if near(before, after) else Agreement.DIFFERENT


def near(before: Any, after: Any) -> bool:
    """Whether two JSON values differ in numbers only, and in those but a little."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(near(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(near, before, after))
    if isinstance(before, bool) or isinstance(after, bool) or isinstance(before, str | None):
        return type(before) is type(after) and before == after
    if isinstance(before, int) and isinstance(after, int):
        return abs(before - after) <= NEAR_PIXELS
    if isinstance(before, int | float) and isinstance(after, int | float):
        return abs(before - after) <= NEAR * max(1.0, abs(before))
    return False
