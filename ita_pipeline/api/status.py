"""The Python API of `ita status` and `ita why`."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from ita_pipeline.api.extract import plan_extraction
from ita_pipeline.api.train import plan_train
from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Progress
from ita_pipeline.extraction.explain import Explanation, explain
from ita_pipeline.extraction.options import Options, resolve_preset
from ita_pipeline.extraction.pictures import ExtractionPlan, plan_images
from ita_pipeline.extraction.presets import build_stages
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.runs.plan import TrainingPlan, TrainOptions
from ita_pipeline.runs.status import Status, status_of
from ita_pipeline.runs.workdir import unfinished_runs
from ita_pipeline.sources.classify import TargetKind, classify
from ita_pipeline.sources.discover import find_image
from ita_pipeline.sources.local import LocalFile

logger = logging.getLogger(__name__)


def plan_seen(options: Options | None = None) -> ExtractionPlan:
    """What would be done for every picture that was looked at in this workspace and still lies where it did.

    Raises:
        UserError: none was ever looked at, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    store = Workspace(options.workspace).store
    known = store.manifest.paths()
    seen = [Path(os.fsdecode(path)) for path in known if path.startswith(os.fsencode(os.sep))]
    there = [path for path in seen if os.path.exists(path)]  # noqa: PTH110 (there may be a million of them)
    elsewhere = len(known) - len(seen)
    if elsewhere:
        logger.info(f"{elsewhere} pictures of other sources are not looked at; name the source to see them")
    if not there:
        raise UsageError(
            "no picture was looked at in this workspace yet", "ita status FOLDER, a folder of pictures"
        )
    choice = resolve_preset(options)
    logger.info(choice.why)
    gone = f"; {len(seen) - len(there)} others are gone" if len(there) < len(seen) else ""
    logger.info(f"{len(there)} pictures that were looked at before{gone}")
    stages = build_stages(choice.preset, options.stages)
    places = [LocalFile(path) for path in there]
    with CacheSession(options, uploads=False) as sharing:
        return plan_images(places, stages, sharing.store, options.wishes, options.limits, shard=options.shard)


def status(
    target: str | Path | None = None,
    options: Options | None = None,
    training: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Status:
    """What is fresh, stale and failed for a source of pictures, or for a dataset with its training; without
    either, for all pictures that were looked at in this workspace.

    Raises:
        UserError: there is no such thing, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    if target is None:
        found = picture_status(plan_seen(options))
        folders = sorted(Workspace(options.workspace).runs.glob("*"))
        return replace(found, unfinished=tuple(run for folder in folders for run in unfinished_runs(folder)))
    kind = classify(target)
    if kind.is_source or kind.is_image_folder or kind is TargetKind.POSTS_FILE:
        return picture_status(plan_extraction(target, options, progress))
    if options.shard is not None:
        hint = f"ita extract {target} --shard … --dry-run shows a shard of its pictures"
        raise UsageError("a training is not divided into shards", hint)
    return training_status(plan_train(str(target), options, training), options)


def picture_status(plan: ExtractionPlan) -> Status:
    return status_of(plan.plan, plan.unreadable)


def training_status(plan: TrainingPlan, options: Options) -> Status:
    workspace = Workspace(options.workspace)
    state = plan.state(workspace.store, workspace.runs)
    return status_of(plan.contexts.plan, plan.contexts.pictures.unreadable, state)


def why(image: Path | str, options: Options | None = None) -> Explanation:
    """Everything about one picture: its records, what decided them, and what has changed since.

    Raises:
        UserError: there is no such picture, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    place = find_image(str(image), Workspace(options.workspace).store.manifest)
    choice = resolve_preset(options)
    logger.info(choice.why)
    stages = build_stages(choice.preset, options.stages)
    with CacheSession(options, uploads=False) as sharing:
        plan = plan_images([place], stages, sharing.store, options.wishes, options.limits)
    if plan.unreadable:
        raise UsageError(
            f"{place.label} cannot be read: {plan.unreadable[0].reason}",
            "ita status without a picture lists those that can",
        )
    return explain(plan, sharing.store)


def why_post(
    target: Path | str,
    post: str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
) -> Explanation:
    """Everything about one post, by its id: what `why` says of a picture, of it and of its picture.

    Raises:
        UserError: there is no such post, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    plan = plan_extraction(target, options, progress, data, post)
    return explain(plan, Workspace(options.workspace).store)
