"""The Python API of `ita status` and `ita why`."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from ita_pipeline.api.extract import build_chosen_stages, plan_extraction
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Progress
from ita_pipeline.core.text import format_count
from ita_pipeline.extraction.items import ExtractionPlan, identify_images, plan_images
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import build_stages, resolve_preset
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.extraction.status import ItemExplanation, Status, explain, status_of
from ita_pipeline.extraction.status import StageExplanation as StageExplanation
from ita_pipeline.extraction.status import StageStatus as StageStatus
from ita_pipeline.extraction.status import list_components as list_components
from ita_pipeline.runs.plan import TrainingPlan, TrainOptions
from ita_pipeline.sources.classify import TargetKind, classify
from ita_pipeline.sources.discover import find_image
from ita_pipeline.sources.local import LocalFile

logger = logging.getLogger(__name__)


def _plan_known_images(options: Options) -> ExtractionPlan:
    """Plan the stages for every picture that was processed before in this workspace and still exists.

    Raises:
        UserError: no picture has been processed yet, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    store = Workspace(options.workspace).store
    known = store.manifest.paths()
    local = [Path(os.fsdecode(path)) for path in known if path.startswith(os.fsencode(os.sep))]
    existing = [path for path in local if os.path.exists(path)]  # noqa: PTH110 (there may be a million of them)
    if len(known) > len(local):
        others = len(known) - len(local)
        logger.info(f"skipped {format_count(others, 'picture')} of other sources; name a source to see its status")
    if not existing:
        hint = "ita status FOLDER shows the status of a folder of pictures"
        raise UsageError("no pictures have been processed in this workspace yet", hint)
    choice = resolve_preset(options)
    logger.info(choice.why)
    gone = f"; {len(local) - len(existing)} no longer exist" if len(existing) < len(local) else ""
    logger.info(f"{format_count(len(existing), 'picture')} processed before{gone}")
    stages = build_stages(choice.preset, options.stages)
    places = [LocalFile(path) for path in existing]
    store = CacheSession(options, uploads=False).store
    identified = identify_images(places, store, options.limits)
    return plan_images(identified, stages, store, options.plan_options, shard=options.shard)


def status(
    target: str | Path | None = None,
    options: Options | None = None,
    training: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Status:
    """Count what is fresh, stale and failed in a source of pictures, or in a dataset and its training.

    Without a target, the status covers all pictures that were processed before in this workspace.

    Raises:
        UserError: the target does not exist, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    if target is None:
        from ita_pipeline.runs.train import unfinished_runs

        result = extraction_status(_plan_known_images(options))
        folders = sorted(Workspace(options.workspace).runs.glob("*"))
        return replace(result, unfinished=tuple(run for folder in folders for run in unfinished_runs(folder)))
    kind = classify(target)
    if kind.is_source or kind.is_image_folder or kind is TargetKind.POSTS_FILE:
        return extraction_status(plan_extraction(target, options, progress))
    from ita_pipeline.api.train import plan_train

    if options.shard is not None:
        hint = f"ita extract {target} --shard … --dry-run shows a shard of its pictures"
        raise UsageError("--shard does not apply to training", hint)
    return training_status(plan_train(str(target), options, training), options)


def extraction_status(plan: ExtractionPlan) -> Status:
    """Return the status of the stages in a plan."""
    return status_of(plan.plan, plan.unreadable)


def training_status(plan: TrainingPlan, options: Options) -> Status:
    """Return the status of a training and of the stages that it needs."""
    workspace = Workspace(options.workspace)
    training = plan.status(workspace.store, workspace.runs)
    return status_of(plan.contexts.plan, plan.contexts.pictures.unreadable, training)


def why(image: Path | str, options: Options | None = None) -> ItemExplanation:
    """Explain one picture: its records, what determined them, and what has changed since.

    Raises:
        UserError: the picture does not exist, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    place = find_image(str(image), Workspace(options.workspace).store.manifest)
    stages = build_chosen_stages(options)
    store = CacheSession(options, uploads=False).store
    plan = plan_images(identify_images([place], store, options.limits), stages, store, options.plan_options)
    if plan.unreadable:
        hint = "replace the picture, or name another one"
        raise UsageError(f"{place.label} cannot be read: {plan.unreadable[0].reason}", hint)
    return explain(plan, store)


def why_post(
    target: Path | str,
    post: str,
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
) -> ItemExplanation:
    """Explain one post and its picture, as `why` does for a picture; `post` is its id.

    Raises:
        UserError: the post does not exist, or a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    plan = plan_extraction(target, options, progress, data, post)
    return explain(plan, Workspace(options.workspace).store)
