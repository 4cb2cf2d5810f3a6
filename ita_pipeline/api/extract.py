"""The Python API of `ita extract`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.store import Store, Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress, Progress, activity
from ita_pipeline.core.text import clean_path, format_count
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.extraction.items import (
    Extraction,
    ExtractionPlan,
    execute_plan,
    identify_images,
    plan_images,
    select_post_stages,
)
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.options import Shard as Shard
from ita_pipeline.extraction.presets import build_stages, resolve_preset
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.extraction.targets import resolve_target
from ita_pipeline.sources.identify import DownloadCache
from ita_pipeline.sources.refs import PostRef
from stages.base import FailureKind as FailureKind
from stages.base import Stage

logger = logging.getLogger(__name__)


def build_chosen_stages(options: Options) -> list[Stage[Any]]:
    """Create the chosen stages of the chosen preset, and log why that preset is used.

    Raises:
        UsageError: a setting is unknown.
    """
    choice = resolve_preset(options)
    logger.info(choice.why)
    return build_stages(choice.preset, options.stages)


def plan_extraction(  # noqa: PLR0913
    target: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    only: str | None = None,
    download_cache: DownloadCache | None = None,
    store: Store | None = None,
) -> ExtractionPlan:
    """Plan what `extract` does for the pictures of a source, or for posts.

    Posts come from a dataset, given by name or folder, or from a JSON Lines file; `only` selects one post by its
    id. Remote pictures are downloaded to `download_cache`. `store` is the store of an open session.

    Raises:
        UserError: the target contains no pictures, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    store = store or CacheSession(options, uploads=False).store
    with activity("finding the models"):
        choice = resolve_preset(options)
        stages = build_stages(choice.preset, options.stages)
    reads_posts, datasets = bool(select_post_stages(stages)), Workspace(options.workspace).data
    listing, source = resolve_target(target, reads_posts, data, datasets, store.manifest)
    if source is not None and source.language:
        choice = resolve_preset(options, language=source.language)
        stages = build_stages(choice.preset, options.stages)
    for line in (*listing.notes, choice.why):
        logger.info(line)
    if only is not None:
        if source is None or not any(post.id == only for post in source.posts):
            hint = "give the id of the post, or its line number if it has none"
            raise UsageError(f"there is no post {only} in {target}", hint)
        source = replace(source, only=only)
    identified = identify_images(listing.images, store, options.limits, download_cache, progress)
    with activity("identifying the models"):
        plan = plan_images(identified, stages, store, options.plan_options, source, options.shard)
    return replace(plan, others=listing.others, unreadable=(*listing.unreadable, *plan.unreadable))


def extract(
    target: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
) -> Extraction:
    """Extract captions, objects and text from pictures, and knowledge from posts, where cached results are stale.

    `target` is a source of pictures (see docs/sources.md) or of posts, as for `plan_extraction`.

    Raises:
        UserError: the target contains no pictures, a setting is unknown, a stage sends data to another machine
            without consent, the cache is damaged, or Ray does not respond.
        StageError: a model or tool that a stage needs is missing; finished records remain.
    """
    options, progress = options or Options(), progress or NoProgress()
    with (
        CacheSession(options) as session,
        open_engine(options.ray, options.limits) as engine,
        DownloadCache() as download_cache,
    ):
        plan = plan_extraction(target, options, progress, data, None, download_cache, session.store)
        Consent.of(options).require_for(plan.plan)
        # Ray workers write segments of their own, so all keys are compared with the shared cache at the end.
        session.upload_at_end(part.key for part in plan.plan.stages if part.stale)
        extraction = execute_plan(plan, session.store, engine, progress)
    return replace(extraction, sharing=session.outcome)


def extraction_to_json(extraction: Extraction) -> dict[str, Any]:
    """Return the content of `ita extract --json`."""
    stages = [
        {
            "stage": outcome.key.stage,
            "key": outcome.key.hexdigest,
            "fresh": outcome.fresh,
            "done": outcome.done,
            "failed": len(outcome.failed),
            "waiting": outcome.waiting,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in extraction.stages
    ]
    failed: list[dict[str, Any]] = []
    for failure in extraction.failed:
        item = failure.item
        name = {"post": item.id} if isinstance(item, PostRef) else {"image": clean_path(item.label)}
        failed.append(name | failure.failure.model_dump(mode="json"))
    unreadable = [{"image": clean_path(item.label), "reason": item.reason} for item in extraction.unreadable]
    return {
        "schema": "ita.extraction/1",
        "stages": stages,
        "failed": failed,
        "unreadable": unreadable,
        "clean": extraction.clean,
    }


def count_items(number: int, with_posts: bool) -> str:
    """Format a number of pictures, or of pictures and posts."""
    return (
        format_count(number, "picture or post", "pictures or posts")
        if with_posts
        else format_count(number, "picture")
    )


def includes_failed_posts(extraction: Extraction) -> bool:
    """Whether any failed item is a post rather than an image."""
    return any(isinstance(failure.item, PostRef) for failure in extraction.failed)
