"""The Python API of `ita extract`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ita_pipeline.cache.store import Store
from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.extraction.consent import ask_consent
from ita_pipeline.extraction.options import Options, resolve_preset
from ita_pipeline.extraction.pictures import Extraction, ExtractionPlan, execute_plan, plan_images
from ita_pipeline.extraction.posts import select_post_stages
from ita_pipeline.extraction.presets import build_stages
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.extraction.targets import resolve_target
from ita_pipeline.sources.download_cache import DownloadCache

logger = logging.getLogger(__name__)


def plan_extraction(
    target: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    only: str | None = None,
    download_cache: DownloadCache | None = None,
) -> ExtractionPlan:
    """What `extract` would do for the pictures of a source, or for posts: the very plan that it obeys.

    Posts are those of a dataset, of a folder that is one, or of a file of JSON lines; `only` names one of them.
    What has to be fetched to be known is kept in the `download_cache`.

    Raises:
        UserError: there is nothing to look at, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    with CacheSession(options or Options(), uploads=False) as sharing:
        return planned_extraction(target, sharing.store, options, progress, data, only, download_cache)


def planned_extraction(
    target: Path | str,
    store: Store,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    only: str | None = None,
    download_cache: DownloadCache | None = None,
) -> ExtractionPlan:
    """As `plan_extraction`, against a store."""
    options = options or Options()
    workspace = Workspace(options.workspace)
    choice = resolve_preset(options)
    stages = build_stages(choice.preset, options.stages)
    contents = resolve_target(target, bool(select_post_stages(stages)), data, workspace.data, store.manifest)
    listing = contents.listing
    for line in (*listing.notes, choice.why):
        logger.info(line)
    source = None if contents.posts is None else replace(contents.posts, only=only)
    if only is not None and (source is None or not any(post.id == only for post in source.posts)):
        raise UsageError(
            f"there is no post {only} in {target}", "posts go by their id, or else their line's number"
        )
    plan = plan_images(
        listing.images,
        stages,
        store,
        options.wishes,
        options.limits,
        source,
        download_cache,
        options.shard,
        progress,
    )
    return replace(plan, others=listing.others, unreadable=(*listing.unreadable, *plan.unreadable))


def extract(
    target: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
) -> Extraction:
    """Turn pictures into captions, objects and words, and posts into what a model knows of them, where that is
    wanted; doing only what is stale. `target` is a source of pictures, as docs/sources.md lists them, or posts as
    `plan_extraction` takes them.

    Raises:
        UserError: there is nothing to look at, a setting is unknown, nobody agreed that posts are sent to another
            machine, the cache is damaged, or Ray is asked for and does not answer.
        StageError: a model or tool that a stage needs is missing; what was computed before is kept.
    """
    options, progress = options or Options(), progress or NoProgress()
    with (
        CacheSession(options) as sharing,
        open_engine(options.ray, options.limits) as engine,
        DownloadCache() as download_cache,
    ):
        plan = planned_extraction(target, sharing.store, options, progress, data, download_cache=download_cache)
        ask_consent(plan.plan, options.consent, options.confirm)
        # Other processes may do the work, of whose segments nobody here is told.
        sharing.upload_at_end(part.key for part in plan.plan.stages if part.stale)
        done = execute_plan(plan, sharing.store, engine, progress)
    return replace(done, sharing=sharing.outcome)
