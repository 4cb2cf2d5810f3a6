"""The Python API of `ita train`: plan a run, train it, and train a series of runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ita_pipeline.api.extract import count_items
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import NotCleanError
from ita_pipeline.core.progress import NoProgress, Notes, Progress
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import make_contexts, read_contexts
from ita_pipeline.extraction.items import Extraction
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.presets import resolve_preset
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.loggers import create_reporters
from ita_pipeline.reports.build import MAX_IMAGES_AFTER_TRAINING, report_run
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from ita_pipeline.runs.compare import (
    RunSeries,
    SeriesRun,
    Variations,
    describe_run,
    format_contexts,
    plan_series,
    series_run,
    summarize,
)
from ita_pipeline.runs.compare import SeriesRow as SeriesRow
from ita_pipeline.runs.grounding import RunGrounding as RunGrounding
from ita_pipeline.runs.grounding import read_grounding as read_grounding
from ita_pipeline.runs.plan import RunInputs, TrainingPlan, TrainOptions, plan_training
from ita_pipeline.runs.run import Run
from ita_pipeline.runs.run import RunScores as RunScores
from ita_pipeline.runs.train import train_if_new

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A run, whether it is new, and the extraction that was done for it."""

    run: Run
    new: bool
    extraction: Extraction


@dataclass(frozen=True, slots=True)
class TrainedSeries:
    """Several runs, and the extraction that was done for each."""

    series: RunSeries
    extractions: tuple[Extraction, ...]


def plan_train(
    dataset: str,
    options: Options | None = None,
    training: TrainOptions | None = None,
    notes: Notes | None = None,
) -> TrainingPlan:
    """Plan what `train` does. With the `notes` of an earlier plan, its messages are not repeated.

    Raises:
        UserError: the dataset, a file of it or a setting is missing or invalid.
        StageError: a model or tool is missing.
    """
    options, training, notes = options or Options(), training or TrainOptions(), notes or Notes(logger)
    loaded = load_dataset(dataset, training.data, Workspace(options.workspace).data)
    for note in loaded.notes:
        notes.add(note)
    choice = resolve_preset(options, ("training", "grounding"), training.contexts or (), loaded.card.language)
    notes.add(choice.why)
    store = CacheSession(options, uploads=False).store
    return plan_training(loaded, choice.preset, options, training, store, notes)


def train(
    dataset: str,
    options: Options | None = None,
    training: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Extract the stale contexts of a dataset, train the tagger on it, score the run and write its report.

    If no input has changed, the existing run is returned. An interrupted training resumes from its last checkpoint.

    Raises:
        UserError: the dataset, a file of it or a setting is missing or invalid.
        NotCleanError: a limit left pictures unprocessed.
        StageError: a model or tool is missing; finished records remain.
    """
    options, training = options or Options(), training or TrainOptions()
    return _train_planned(plan_train(dataset, options, training), options, progress or NoProgress())


def _train_planned(plan: TrainingPlan, options: Options, progress: Progress) -> Trained:
    workspace, world = Workspace(options.workspace), World.connect()
    if plan.options.report_to:
        # Fail before anything is computed if a reporter does not exist.
        create_reporters(plan.options.report_to, workspace.runs)
    if world.is_main:
        Consent.of(options).require_for(plan.contexts.plan)
    with CacheSession(options, uploads=world.is_main) as session, SubprocessExecutor(options.limits) as executor:
        session.upload_at_end(plan.contexts.plan.keys.values())
        engine = LocalEngine(executor)
        contexts = make_contexts(plan.contexts, session.store, engine, progress) if world.is_main else None
    world.barrier()
    # The other processes read the records that the first one has made.
    contexts = contexts or read_contexts(plan.contexts, workspace.store)
    if contexts.extraction.waiting:
        why = "; ".join(contexts.extraction.notes) or "--limit"
        what = count_items(contexts.extraction.waiting, bool(contexts.extraction.posts))
        raise NotCleanError(
            f"{what} not processed ({why}), so nothing was trained",
            "run the same command again to process the next ones",
        )
    run, new = train_if_new(RunInputs(plan, contexts), workspace.runs)
    if world.is_main and (new or not run.report.is_file()):
        report_options = ReportOptions(workspace=options.workspace, pictures=Pictures.INSIDE)
        writer = ReportWriter(run.report, report_options, progress, MAX_IMAGES_AFTER_TRAINING)
        report_run(run, writer, plan.dataset)
    return Trained(run, new, replace(contexts.extraction, sharing=session.outcome))


def train_series(
    dataset: str,
    options: Options | None = None,
    training: TrainOptions | None = None,
    variations: Variations | None = None,
    progress: Progress | None = None,
) -> TrainedSeries:
    """Train each run of a series, as `train` does; existing runs are reused.

    Raises:
        As for `train`; finished runs remain.
    """
    options, training = options or Options(), training or TrainOptions()
    wanted = plan_series(training, variations or Variations())
    notes, runs, extractions = Notes(logger), list[SeriesRun](), list[Extraction]()
    for number, variant in enumerate(wanted, 1):
        logger.info(f"run {number} of {len(wanted)}: {describe_run(variant)}")
        plan = plan_train(dataset, options, variant, notes)
        trained = _train_planned(plan, options, progress or NoProgress())
        runs.append(series_run(format_contexts(variant.contexts), trained.run, trained.new, variant))
        extractions.append(trained.extraction)
        # Stages that one run refreshed are fresh for the next, and retried failures are final for all runs.
        done = {part.stage.name for part in plan.contexts.plan.stages}
        retry = () if done else options.retry_failed
        refresh = tuple(name for name in options.refresh if name not in done)
        options = replace(options, retry_failed=retry, refresh=refresh)
    return TrainedSeries(summarize(runs), tuple(extractions))
