"""`ita train`: from a dataset to a tagger, doing only what is stale."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli import option_groups as groups
from ita_pipeline.cli.console import print_message, resumable, silence_messages, table
from ita_pipeline.cli.extract import exit_unless_clean, outcome_table, print_failures
from ita_pipeline.cli.options import AsJson, Assignments, DatasetFolder, DryRun, Limit, Preset
from ita_pipeline.cli.series import parse_seeds, series_table
from ita_pipeline.cli.status import print_status
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline import Options, TrainOptions
    from ita_pipeline.api.train import RunScores


@groups.expand_groups
def train(
    dataset: Annotated[
        str, typer.Option(help="example, twitter15, twitter17, snap, a card's file, or a folder of posts.")
    ],
    data: DatasetFolder = None,
    preset: Preset = "auto",
    *,
    settings: groups.TrainingSettings,
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="Train with each of these, such as 1,2,3: mean ± sd.")
    ] = "",
    views: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Train with each of these contexts, such as text,caption,objects,ocr,all."
        ),
    ] = "",
    stage: Annotated[list[str] | None, typer.Option(help="Append only what this stage found. Repeatable.")] = None,
    assignments: Assignments = None,
    location: groups.CacheLocation,
    repetition: groups.Repetition,
    checkpoint_every: Annotated[
        int,
        typer.Option(min=0, metavar="UPDATES", help="Checkpoints within an epoch too; each epoch ends with one."),
    ] = 0,
    report_to: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Report updates to tensorboard, wandb, mlflow, … as well. Repeatable."),
    ] = None,
    limit: Limit = None,
    sending: groups.Sending,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train the tagger on a dataset, running beforehand only the stages, and only the pictures, that are stale.

    ita train --dataset example

    ita train --dataset twitter15 --data twitter2015/ --set training.epochs=3

    ita train --dataset twitter15 --data twitter2015/ --views text,caption,all --seeds 1,2,3
    """
    import ita_pipeline as ita
    from ita_pipeline.api.train import plan_series

    options = groups.build_options(
        location, repetition, sending, preset=preset, assignments=assignments, limit=limit
    )
    training = groups.build_training(
        data,
        settings,
        stage=stage,
        command="ita " + shlex.join(sys.argv[1:]),
        checkpoint_every=checkpoint_every,
        report_to=tuple(report_to or ()),
    )
    if settings.seed is not None and seeds:
        raise UsageError("--seed and --seeds exclude each other", "--seeds 1,2,3")
    if views and (stage or settings.contexts != "all"):
        raise UsageError("--views stands in place of --contexts and --stage", "--views text,caption+ocr,all")
    variations = parse_seeds(seeds), tuple(filter(None, views.split(",")))
    # Of several processes that a launcher started, only the first one prints; errors of the others are printed too.
    is_first = os.environ.get("RANK", "0") == "0"
    if not is_first:
        silence_messages()
    with resumable() if is_first else nullcontext() as display:
        if dry_run:
            _print_plans(dataset, options, plan_series(training, *variations), as_json)
            return
        if any(variations) or as_json:
            series = ita.train_series(dataset, options, training, *variations, display)
            extractions = series.extractions
            result = json.dumps(series.series.to_json()) if as_json else series_table(series.series)
        else:
            trained = ita.train(dataset, options, training, display)
            extractions = (trained.extraction,)
            if is_first and not trained.new:
                what = "posts, contexts, settings and encoder are those of the run that is there"
                print_message(f"nothing to do: {what}")
            run = trained.run
            result = f"{score_table(run.scores())}\nrun     {run.folder}\nreport  {run.report}"
    if not is_first:
        return
    for extraction in extractions:
        if extraction.stages:
            print(outcome_table(extraction), file=sys.stderr)
        print_failures(extraction)
    print(result)
    exit_unless_clean(*extractions)


def _print_plans(dataset: str, options: Options, planned_runs: Sequence[TrainOptions], as_json: bool) -> None:
    """Print the status of each planned run; as JSON, one line per run, with its name if there are several."""
    from ita_pipeline.api.status import training_status
    from ita_pipeline.api.train import describe_run, plan_train

    for planned in planned_runs:
        plan = plan_train(dataset, options, planned)
        plan.contexts.plan.check()
        status = training_status(plan, options)
        if as_json:
            print(json.dumps(status.to_json() | ({"run": describe_run(planned)} if len(planned_runs) > 1 else {})))
            continue
        if len(planned_runs) > 1:
            print(f"{describe_run(planned)}:")
        print_status(status, as_json=False)


def score_table(scores: RunScores) -> str:
    """Format the micro scores of both views in percent, split by split, and the F1 of each type."""
    types = sorted({name for split in scores.splits.values() for name in split.text.types})
    rows: list[list[str]] = []
    for name, split in scores.splits.items():
        for view, view_scores in (("T", split.text), ("I+T", split.text_and_image)):
            micro, by_type = view_scores.micro, view_scores.types
            numbers = [micro.precision, micro.recall, micro.f1, view_scores.macro_f1]
            numbers += [by_type[name].f1 if name in by_type else 0.0 for name in types]
            rows.append([f"{name} {view}", *(f"{100 * number:.2f}" for number in numbers), str(micro.support)])
    return table(["view", "P", "R", "F1", "macro F1", *types, "mentions"], rows)
