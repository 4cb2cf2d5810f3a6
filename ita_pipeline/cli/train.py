"""`ita train`: from a dataset to a tagger, doing only what is stale."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, resumable, say, silence_messages, table
from ita_pipeline.cli.extract import end, outcome_table, tell_failed
from ita_pipeline.cli.options import (
    Alignment,
    AsJson,
    Assignments,
    Captions,
    CheckpointEvery,
    Contexts,
    DatasetFolder,
    DryRun,
    Encoder,
    Experiment,
    Limit,
    MaxRequests,
    MaxTokens,
    Preset,
    Refresh,
    ReportTo,
    RetryFailed,
    Seed,
    Seeds,
    Shared,
    Views,
    WorkspaceFolder,
    Yes,
    base_settings,
    budget,
    context_names,
    kinds,
)
from ita_pipeline.cli.series import seed_numbers, series_table
from ita_pipeline.cli.status import show_status
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline.extraction.options import Options
    from ita_pipeline.runs.run import RunScores
    from ita_pipeline.runs.series import PlannedRun


def train(
    dataset: Annotated[
        str, typer.Option(help="example, twitter15, twitter17, snap, a card's file, or a folder of posts.")
    ],
    data: DatasetFolder = None,
    preset: Preset = "auto",
    encoder: Encoder = None,
    captions: Captions = "auto",
    contexts: Contexts = "all",
    alignment: Alignment = True,
    experiment: Experiment = None,
    seed: Seed = None,
    seeds: Seeds = "",
    views: Views = "",
    stage: Annotated[list[str] | None, typer.Option(help="Append only what this stage found. Repeatable.")] = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    retry_failed: RetryFailed = None,
    refresh: Refresh = None,
    checkpoint_every: CheckpointEvery = 0,
    report_to: ReportTo = None,
    limit: Limit = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the tagger on a dataset, running beforehand only the stages, and only the pictures, that are stale.

    ita train --dataset example

    ita train --dataset twitter15 --data twitter2015/ --set training.epochs=3

    ita train --dataset twitter15 --data twitter2015/ --views text,caption,all --seeds 1,2,3
    """
    import ita_pipeline as ita
    from ita_pipeline.runs.series import plan_series

    options = ita.Options(
        preset=preset,
        assignments=(*(assignments or ()), *budget(max_requests, max_tokens)),
        base=base_settings(),
        workspace=workspace,
        shared=shared,
        retry_failed=kinds(retry_failed),
        refresh=tuple(refresh or ()),
        limit=limit,
        consent=yes,
        confirm=confirm,
    )
    command = "ita " + shlex.join(sys.argv[1:])
    names = context_names(contexts, stage)
    training = ita.TrainOptions(
        data,
        captions,
        names,
        encoder,
        experiment,
        alignment,
        seed,
        command,
        checkpoint_every,
        tuple(report_to or ()),
    )
    if seed is not None and seeds:
        raise UsageError("--seed and --seeds exclude each other", "--seeds 1,2,3")
    if views and (stage or contexts != "all"):
        raise UsageError("--views stands in place of --contexts and --stage", "--views text,caption+ocr,all")
    several = seed_numbers(seeds), tuple(filter(None, views.split(",")))
    # Of several processes that a launcher started, only the first speaks; what ends another one is still told.
    first = os.environ.get("RANK", "0") == "0"
    display = ProgressDisplay()
    progress = display if first else None
    if not first:
        silence_messages()
    with resumable(display) if first else nullcontext():
        if dry_run:
            show_plans(dataset, options, plan_series(training, *several), as_json)
            return
        if any(several) or as_json:
            found = ita.train_series(dataset, options, training, *several, progress)
            extractions = found.extractions
            result = json.dumps(found.series.to_json()) if as_json else series_table(found.series)
        else:
            trained = ita.train(dataset, options, training, progress)
            extractions = (trained.extraction,)
            if first and not trained.new:
                say("nothing to do: posts, contexts, settings and encoder are those of the run that is there")
            result = (
                f"{score_table(trained.run.scores())}\nrun     {trained.run.folder}\nreport  {trained.run.report}"
            )
    if not first:
        return
    for extraction in extractions:
        if extraction.stages:
            print(outcome_table(extraction), file=sys.stderr)
        tell_failed(extraction)
    print(result)
    end(*extractions)


def show_plans(dataset: str, options: Options, planned_runs: Sequence[PlannedRun], as_json: bool) -> None:
    """What would be done for each run, and why; as JSON a line for each, named where there are several."""
    from ita_pipeline.api.status import training_status
    from ita_pipeline.api.train import plan_train

    for planned in planned_runs:
        plan = plan_train(dataset, options, planned.training)
        plan.contexts.plan.check()
        found = training_status(plan, options)
        if as_json:
            print(json.dumps(found.to_json() | ({"run": str(planned)} if len(planned_runs) > 1 else {})))
            continue
        if len(planned_runs) > 1:
            print(f"{planned}:")
        show_status(found, as_json=False)


def score_table(scores: RunScores) -> str:
    """Micro scores in percent of both views, split by split, and the F1 of each type."""
    types = sorted({name for split in scores.splits.values() for name in split.text.types})
    rows = []
    for name, split in scores.splits.items():
        for view, found in (("T", split.text), ("I+T", split.text_and_image)):
            micro = found.micro
            numbers = [micro.precision, micro.recall, micro.f1, found.macro_f1]
            numbers += [found.types[t].f1 if t in found.types else 0.0 for t in types]
            rows.append([f"{name} {view}", *(f"{100 * number:.2f}" for number in numbers), str(micro.support)])
    return table(["view", "P", "R", "F1", "macro F1", *types, "mentions"], rows)
