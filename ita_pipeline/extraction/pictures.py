"""From a folder, or a list, of pictures to records: identify, plan, run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ita_pipeline.cache.plan import FailedItem, Plan, PlanOptions, make_plan
from ita_pipeline.cache.shared.sync import SharingOutcome
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine, Interrupted, StageOutcome
from ita_pipeline.engines.executor import MEGABYTE, Limits
from ita_pipeline.extraction.posts import PostSource, make_post_refs, select_post_stages
from ita_pipeline.extraction.shard import Shard
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.download_cache import DownloadCache
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.refs import ImageRef, ItemRef, PostRef, Unreadable
from stages.base import Failure, Stage


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extraction did. `others` are files that are no pictures by their name; `sharing` says how it stands
    with the shared cache, where one is set.
    """

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    stages: tuple[StageOutcome, ...]
    posts: tuple[PostRef, ...] = ()
    sharing: SharingOutcome = field(default_factory=SharingOutcome)

    @property
    def failed(self) -> tuple[FailedItem, ...]:
        """Each picture, in each of its places, and each post that some stage failed on, with the first reason."""
        first: dict[str, Failure] = {}
        for stage in self.stages:
            for failed in stage.failed:
                first.setdefault(failed.item.key, failed.failure)
        images = sorted(self.images, key=lambda image: image.label)
        items: list[ItemRef] = [*images, *self.posts]
        return tuple(FailedItem(item, first[item.key]) for item in items if item.key in first)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why stages stopped before they were through, in their own words."""
        return tuple(f"{stage.key.stage}: {stage.note}" for stage in self.stages if stage.note)

    @property
    def waiting(self) -> int:
        """Pictures or posts that a limit or a budget left for another time."""
        return max((stage.waiting for stage in self.stages), default=0)

    @property
    def clean(self) -> bool:
        return not self.failed and not self.unreadable and self.sharing.clean


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """Which stages have to look at which of these pictures, and posts, and why."""

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    plan: Plan
    posts: Mapping[Post, PostRef] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return self.plan.clean and not self.unreadable


class FetchProgress:
    """Tells whoever watches of pictures that are fetched; nothing where all are known or lie here."""

    def __init__(self, sources: Sequence[ImageSource], progress: Progress | None) -> None:
        self.sources, self.progress = sources, progress
        self.begun = False

    def __enter__(self) -> FetchProgress:
        return self

    def __call__(self, count: int) -> None:
        """
        Raises:
            Interrupted: whoever watches asked for it; what was fetched is noted.
        """
        if self.progress is None:
            return
        if not self.begun:
            self.begun = True
            self.progress.start("fetch", sum(source.is_remote for source in self.sources))
        self.progress.advance("fetch", count)
        if self.progress.stop_requested:
            raise Interrupted

    def __exit__(self, *_: object) -> None:
        if self.begun and self.progress is not None:
            self.progress.finish()


def plan_images(
    sources: Sequence[ImageSource],
    stages: Sequence[Stage[Any]],
    store: Store,
    wishes: PlanOptions | None = None,
    limits: Limits | None = None,
    source: PostSource | None = None,
    download_cache: DownloadCache | None = None,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> ExtractionPlan:
    """What has to be done to bring every stage up to date for these pictures, and for posts where there are any.

    Stages that look at posts are left out where there are none. Of a `shard` are its pictures, and the posts that
    go with them: by the key of their picture, or where they have none by their own.

    Raises:
        StageError: a model or tool is missing.
        CorruptCacheError: the cache was damaged.
        Interrupted: whoever watches asked for it, while pictures were fetched.
    """
    most = (limits or Limits()).megabytes * MEGABYTE
    with FetchProgress(sources, progress) as told:
        identified = list(identify(sources, store.manifest, most, download_cache, told))
    images = everywhere = tuple(image for image in identified if isinstance(image, ImageRef))
    unreadable = tuple(image for image in identified if isinstance(image, Unreadable))
    if shard is not None:
        here = os.getcwd()  # noqa: PTH109
        images = tuple(image for image in images if shard.contains(image.key))
        unreadable = tuple(bad for bad in unreadable if shard.contains_address(bad.source.address(here)))
    readers = select_post_stages(stages)
    if source is None or not readers:
        plan = make_plan([stage for stage in stages if stage not in readers], images, store, wishes)
        return ExtractionPlan(images, (), unreadable, plan)
    posts = make_post_refs(source, everywhere, readers, store)
    if shard is not None:
        posts = {post: item for post, item in posts.items() if shard.contains((item.image or item).key)}
    if source.only is not None:
        wanted = {post.picture for post in posts}
        images = tuple(image for image in images if image.path in wanted)
    plan = make_plan(stages, images, store, wishes, list(posts.values()))
    return ExtractionPlan(images, (), unreadable, plan, posts)


def execute_plan(todo: ExtractionPlan, store: Store, engine: Engine, progress: Progress) -> Extraction:
    """Do what a plan says, and nothing else.

    Raises:
        StageError: a model or tool is missing; what was computed before is kept.
        CorruptCacheError: the cache was damaged.
        Interrupted: whoever watches asked for it.
    """
    outcomes = engine.run(todo.plan, store, progress)
    return Extraction(todo.images, todo.others, todo.unreadable, outcomes, tuple(todo.posts.values()))
