"""Recompute cached results of some images or posts, and measure whether they agree with the cache."""

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
from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.engines.executor import Executor, Job, StageJobs
from ita_pipeline.extraction.items import decode_post_ref
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef, ItemRef
from stages.base import Result, Stage, Subject, Value
from stages.batching import batched

# Numbers are near each other if they differ by at most this, absolutely or relatively.
TOLERANCE = 0.01

INTEGER_TOLERANCE = 1

# Candidates tried for each image or post to recompute.
CANDIDATES_PER_ITEM = 20


class Agreement(StrEnum):
    """The agreement of a recomputed result with the cached one.

    Near results have the same texts in the same order, and numbers that differ by at most 0.01 or a hundredth, or
    by at most 1 for integers.
    """

    EQUAL = "equal"
    NEAR = "near"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Recomputation:
    """The recomputation of a stage. `lost` counts items that could not be recomputed, since their file or a result
    of an upstream stage no longer exists.
    """

    key: StageKey
    agreements: Mapping[Path, Agreement]
    lost: int

    def count(self, agreement: Agreement) -> int:
        """The number of items with this agreement."""
        return sum(each is agreement for each in self.agreements.values())

    @property
    def different(self) -> list[Path]:
        """The items whose results are different."""
        return [path for path, each in self.agreements.items() if each is Agreement.DIFFERENT]


def recompute(
    stages: Sequence[Stage[Any]], store: Store, executor: Executor, progress: Progress, count: int, seed: int = 0
) -> Iterator[Recomputation]:
    """Recompute `count` items of each stage, chosen at random, and compare. Nothing is written.

    Raises:
        StageError: a model or tool is missing, or a stage cannot work at all.
        CorruptCacheError: a record is damaged.
    """
    keys = stage_keys(stages)
    for stage in sort_stages(stages):
        key = keys[stage.name]
        upstream = [(other, keys[other.name]) for other in stages if other.name in stage.reads]
        jobs, lost = _sample_jobs(stage, key, upstream, store, count, random.Random(seed))
        yield Recomputation(key, dict(_compare(stage, key, jobs, store, executor, progress)), lost)


def _sample_jobs(
    stage: Stage[Any],
    key: StageKey,
    upstream: Sequence[tuple[Stage[Any], StageKey]],
    store: Store,
    count: int,
    generator: random.Random,
) -> tuple[list[Job], int]:
    """Jobs for items with a cached value that can be recomputed, and the number of those that cannot."""
    folder = store.folder(key)
    store.index.refresh(folder)
    images = sorted(store.index.find_images_with_values(folder))
    candidates = generator.sample(images, min(len(images), CANDIDATES_PER_ITEM * count))
    jobs: list[Job] = []
    lost = 0
    for batch in batched(candidates, count):
        items = _find_items(stage, batch, store)
        image_keys = [item.image.key for item in items.values() if item.image is not None]
        above = {other.name: store.results(other, other_key, image_keys) for other, other_key in upstream}
        for item_key in batch:
            item = items.get(item_key)
            image = item.image.key if item is not None and item.image is not None else ""
            results = {name: records[image].result for name, records in above.items() if image in records}
            values = {name: result for name, result in results.items() if isinstance(result, Value)}
            if item is None or (image and values.keys() != above.keys()):
                lost += 1
            elif len(jobs) < count:
                jobs.append(Job(item, values))
        if len(jobs) == count:
            break
    return jobs, lost


def _find_items(stage: Stage[Any], keys: Sequence[str], store: Store) -> dict[str, ItemRef]:
    """Those of these images or posts that still exist unchanged."""
    if stage.subject is Subject.POST:
        posts = {key: decode_post_ref(key, note.post) for key, note in store.manifest.find_posts(keys).items()}
        return {key: post for key, post in posts.items() if all(map(_is_still_there, (post.image, *post.more)))}
    items: dict[str, ItemRef] = {}
    for key, names in store.manifest.paths_of(keys).items():
        paths = (Path(os.fsdecode(name)) for name in names)
        path = next((path for path in paths if _is_unchanged(path, key)), None)
        if path is not None:
            items[key] = ImageRef(key, LocalFile(path))
    return items


def _is_still_there(image: ImageRef | None) -> bool:
    return image is None or _is_unchanged(image.path, image.key)


def _is_unchanged(path: Path | None, key: str) -> bool:
    """Whether a file still has the content of this key."""
    try:
        return path is not None and path.is_file() and hash_file(path) == key
    except OSError:
        return False


def _compare(
    stage: Stage[Any], key: StageKey, jobs: Sequence[Job], store: Store, executor: Executor, progress: Progress
) -> Iterator[tuple[Path, Agreement]]:
    if not jobs:
        return
    cached = store.results(stage, key, [job.item.key for job in jobs])
    executor.open(stage)
    progress.start(stage.name, len(jobs))
    try:
        for batch in batched(jobs, stage.batch_size):
            for job, result in zip(batch, executor.run_task(StageJobs(stage, batch)).results, strict=True):
                yield Path(job.item.label), compare_results(cached[job.item.key].result, result)
            progress.advance(stage.name, len(batch))
            if progress.stop_requested:
                raise Interrupted
    finally:
        progress.finish()


def compare_results(cached: Result, recomputed: Result) -> Agreement:
    """The agreement of two results."""
    if type(cached) is not type(recomputed):
        return Agreement.DIFFERENT
    before, after = cached.model_dump(mode="json"), recomputed.model_dump(mode="json")
    if before == after:
        return Agreement.EQUAL
    return Agreement.NEAR if are_near(before, after) else Agreement.DIFFERENT


def are_near(before: Any, after: Any) -> bool:
    """Whether two JSON values differ only in numbers that are near each other."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(are_near(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(are_near, before, after))
    if isinstance(before, bool) or isinstance(after, bool) or isinstance(before, str | None):
        return type(before) is type(after) and before == after
    if isinstance(before, int) and isinstance(after, int):
        return abs(before - after) <= INTEGER_TOLERANCE
    if isinstance(before, int | float) and isinstance(after, int | float):
        return abs(before - after) <= TOLERANCE * max(1.0, abs(before))
    return False
