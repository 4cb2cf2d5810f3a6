"""`ita train`: from a dataset to a tagger, doing only what is stale."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import Watcher, resumable, say, table
from ita_pipeline.cli.extract import outcome_table, tell_failed
from ita_pipeline.cli.options import (
    Alignment,
    Assignments,
    Captions,
    Contexts,
    DatasetFolder,
    DryRun,
    Encoder,
    Experiment,
    Limit,
    Preset,
    Refresh,
    RetryFailed,
    Seed,
    WorkspaceFolder,
    context_names,
    kinds,
)
from ita_pipeline.cli.status import show_status
from ita_pipeline.errors import ExitCode

if TYPE_CHECKING:
    from ita_pipeline.runs import RunScores


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
    stage: Annotated[list[str] | None, typer.Option(help="Append only what this stage found. Repeatable.")] = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    retry_failed: RetryFailed = None,
    refresh: Refresh = None,
    limit: Limit = None,
    dry_run: DryRun = False,
) -> None:
    """Train the tagger on a dataset, running beforehand only the stages, and only the pictures, that are stale.

    ita train --dataset example

    ita train --dataset twitter15 --data twitter2015/ --set training.epochs=3
    """
    from ita_pipeline import pipeline

    options = pipeline.Options(
        preset=preset,
        assignments=tuple(assignments or ()),
        workspace=workspace,
        retry_failed=kinds(retry_failed),
        refresh=tuple(refresh or ()),
        limit=limit,
    )
    command = "ita " + shlex.join(sys.argv[1:])
    names = context_names(contexts, stage)
    training = pipeline.TrainOptions(data, captions, names, encoder, experiment, alignment, seed, command)
    watcher = Watcher()
    with resumable(watcher):
        if dry_run:
            plan = pipeline.plan_train(dataset, options, training, watcher)
            plan.contexts.plan.check()
            show_status(pipeline.training_status(plan, options), as_json=False)
            return
        trained = pipeline.train(dataset, options, training, watcher)
    if trained.extraction.stages:
        print(outcome_table(trained.extraction), file=sys.stderr)
    tell_failed(trained.extraction)
    if not trained.new:
        say("nothing to do: posts, contexts, settings and encoder are those of the run that is there")
    print(score_table(trained.run.scores()))
    print(f"run     {trained.run.folder}\nreport  {trained.run.report}")
    if not trained.extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)


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
