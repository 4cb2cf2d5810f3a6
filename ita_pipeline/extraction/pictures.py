"""The extraction from images and posts: identify them, plan the stages, and run the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ita_pipeline.cache.plan import FailedItem, Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine, Interrupted, StageOutcome
from ita_pipeline.engines.executor import MEGABYTE, Limits
from ita_pipeline.extraction.posts import PostSource, make_post_refs, select_post_stages
from ita_pipeline.extraction.session import SharingOutcome
from ita_pipeline.extraction.shard import Shard
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.identify import DownloadCache, identify
from ita_pipeline.sources.refs import ImageRef, ItemRef, PostRef, Unreadable
from stages.base import Failure, Stage


@dataclass(frozen=True, slots=True)
class Extraction:
    """The result of an extraction. `others` are files without an image extension; `sharing` is the outcome for the
    shared cache, if one is set.
    """

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    stages: tuple[StageOutcome, ...]
    posts: tuple[PostRef, ...] = ()
    sharing: SharingOutcome = field(default_factory=SharingOutcome)

    @property
    def failed(self) -> tuple[FailedItem, ...]:
        """Each image, for each of its files, and each post on which a stage failed, with the first failure."""
        first: dict[str, Failure] = {}
        for stage in self.stages:
            for failed in stage.failed:
                first.setdefault(failed.item.key, failed.failure)
        images = sorted(self.images, key=lambda image: image.label)
        items: list[ItemRef] = [*images, *self.posts]
        return tuple(FailedItem(item, first[item.key]) for item in items if item.key in first)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why stages stopped early, in their own words."""
        return tuple(f"{stage.key.stage}: {stage.note}" for stage in self.stages if stage.note)

    @property
    def waiting(self) -> int:
        """The number of images or posts not processed because of a limit or a budget."""
        return max((stage.waiting for stage in self.stages), default=0)

    @property
    def clean(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.unreadable and self.sharing.clean


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """The images and posts of an extraction, and which of them each stage has to process and why."""

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    plan: Plan
    posts: Mapping[Post, PostRef] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to do and nothing failed."""
        return self.plan.clean and not self.unreadable


def identify_images(
    sources: Sequence[ImageSource],
    store: Store,
    limits: Limits | None = None,
    download_cache: DownloadCache | None = None,
    progress: Progress | None = None,
) -> list[ImageRef | Unreadable]:
    """The key of each image, in order; images that were fetched are kept in `download_cache`.

    Raises:
        Interrupted: `progress` asked to stop while images were fetched.
    """
    max_bytes = (limits or Limits()).megabytes * MEGABYTE
    display = progress or NoProgress()
    started = False

    def advance(count: int) -> None:
        nonlocal started
        if not started:
            started = True
            display.start("fetch", sum(source.is_remote for source in sources))
        display.advance("fetch", count)
        if display.stop_requested:
            raise Interrupted

    try:
        return list(identify(sources, store.manifest, max_bytes, download_cache, advance))
    finally:
        if started:
            display.finish()


def plan_images(
    identified: Sequence[ImageRef | Unreadable],
    stages: Sequence[Stage[Any]],
    store: Store,
    options: PlanOptions | None = None,
    source: PostSource | None = None,
    shard: Shard | None = None,
) -> ExtractionPlan:
    """Plan the stages for images, and for posts if there are any; without posts, their stages are left out.

    With a `shard`, only its images and posts are planned. The shard of a post is that of its image, if it has one.

    Raises:
        StageError: a model or tool is missing.
        CorruptCacheError: the cache was damaged.
    """
    images = all_images = tuple(image for image in identified if isinstance(image, ImageRef))
    unreadable = tuple(image for image in identified if isinstance(image, Unreadable))
    if shard is not None:
        folder = os.getcwd()  # noqa: PTH109
        images = tuple(image for image in images if shard.contains(image.key))
        unreadable = tuple(each for each in unreadable if shard.contains_address(each.source.address(folder)))
    post_stages = select_post_stages(stages)
    if source is None or not post_stages:
        plan = make_plan([stage for stage in stages if stage not in post_stages], images, store, options)
        return ExtractionPlan(images, (), unreadable, plan)
    posts = make_post_refs(source, all_images, post_stages, store)
    if shard is not None:
        posts = {post: ref for post, ref in posts.items() if shard.contains((ref.image or ref).key)}
    if source.only is not None:
        paths = {post.picture for post in posts}
        images = tuple(image for image in images if image.path in paths)
    plan = make_plan(stages, images, store, options, list(posts.values()))
    return ExtractionPlan(images, (), unreadable, plan, posts)


def execute_plan(plan: ExtractionPlan, store: Store, engine: Engine, progress: Progress) -> Extraction:
    """Run a plan.

    Raises:
        StageError: a model or tool is missing; earlier results are kept.
        CorruptCacheError: the cache was damaged.
        Interrupted: `progress` asked the run to stop.
    """
    outcomes = engine.run(plan.plan, store, progress)
    return Extraction(plan.images, plan.others, plan.unreadable, outcomes, tuple(plan.posts.values()))
