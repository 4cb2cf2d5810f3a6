"""`ita train`: from a dataset to a tagger, doing only what is stale."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_message, print_note, resumable, silence_messages, table
from ita_pipeline.cli.extract import exit_unless_clean, print_outcome
from ita_pipeline.cli.status import print_status
from ita_pipeline.core.errors import UsageError

# The table of several runs: each column's split and view.
SERIES_COLUMNS = {
    "dev T": ("dev", "text"),
    "dev I+T": ("dev", "text+image"),
    "test T": ("test", "text"),
    "test I+T": ("test", "text+image"),
}


@opts.expand_groups
def train(
    dataset: Annotated[
        str,
        typer.Option(metavar="NAME", help="example, twitter15, twitter17, snap, a card file, or a folder of posts"),
    ],
    data: opts.DatasetFolder = None,
    preset: opts.Preset = "auto",
    *,
    settings: opts.TrainingSettings,
    seeds: Annotated[
        str, typer.Option(metavar="LIST", help="Train with each seed, such as 1,2,3; prints mean ± sd")
    ] = "",
    views: Annotated[
        str,
        typer.Option(metavar="LIST", help="Train with each set of contexts, such as text,caption,all"),
    ] = "",
    objectives: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Train with each objective: none (I+T alone), both (likelihoods), aligned"
        ),
    ] = "",
    train_sizes: Annotated[
        str,
        typer.Option(metavar="LIST", help="Train on each number of train posts, such as 250,500,all"),
    ] = "",
    stage: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Append only this context; repeatable")
    ] = None,
    assignments: opts.Assignments = None,
    location: opts.CacheLocation,
    repetition: opts.Repetition,
    checkpoint_every: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Also save a checkpoint every N updates", show_default=False),
    ] = 0,
    report_to: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also log to tensorboard, wandb, mlflow, …; repeatable"),
    ] = None,
    limit: opts.Limit = None,
    sending: opts.Sending,
    dry_run: opts.DryRun = False,
    as_json: opts.AsJson = False,
) -> None:
    """Train the tagger on a dataset, after running the stages on stale pictures only.

    ita train --dataset example

    ita train --dataset twitter15 --data twitter2015/ --set training.epochs=3

    ita train --dataset twitter15 --data twitter2015/ --views text,caption,all --seeds 1,2,3
    """
    options = opts.build_options(location, repetition, sending, preset=preset, assignments=assignments, limit=limit)
    given = {"checkpoint_every": checkpoint_every, "report_to": tuple(report_to or ())}
    command = "ita " + shlex.join(sys.argv[1:])
    training = opts.build_training(data, settings, stages=stage, command=command, **given)
    if settings.seed is not None and seeds:
        raise UsageError("--seed and --seeds cannot be combined", "--seeds 1,2,3")
    if views and (stage or settings.contexts != "all"):
        raise UsageError("--views cannot be combined with --contexts or --stage", "--views text,caption+ocr,all")
    if objectives and not settings.alignment:
        raise UsageError("--objectives and --no-alignment cannot be combined", "--objectives none,both,aligned")
    variations = ita.Variations(
        parse_seeds(seeds), split_list(views), split_list(objectives), parse_train_sizes(train_sizes)
    )
    # Of several processes that a launcher started, only the first one prints; errors of the others are printed too.
    is_first = os.environ.get("RANK", "0") == "0"
    if not is_first:
        silence_messages()
    with resumable() if is_first else nullcontext() as display:
        if dry_run:
            _print_plans(dataset, options, api.train.plan_series(training, variations), as_json)
            return
        if variations != ita.Variations() or as_json:
            series = ita.train_series(dataset, options, training, variations, display)
            extractions = series.extractions
            result = json.dumps(series.series.to_json()) if as_json else series_table(series.series)
        else:
            trained = ita.train(dataset, options, training, display)
            extractions = (trained.extraction,)
            if is_first and not trained.new:
                print_message("nothing to do: a run with these posts, contexts, settings and encoder exists")
            run, scores = trained.run, trained.run.scores()
            if not any(split.text_and_image.micro.f1 for split in scores.splits.values()):
                advice = "more epochs (--set training.epochs=30), more posts, or a larger learning rate"
                print_note(f"hint: F1 is 0.00; what usually helps: {advice}; see also ita data check {dataset}")
            grounding = api.train.read_grounding(run)
            boxes = f"\n\n{grounding_table(grounding)}\n" if grounding is not None else ""
            result = f"{score_table(scores)}{boxes}\nrun     {run.folder}\nreport  {run.report}"
    if not is_first:
        return
    for extraction in extractions:
        print_outcome(extraction)
    print(result)
    exit_unless_clean(*extractions)


def _print_plans(
    dataset: str, options: ita.Options, planned_runs: Sequence[ita.TrainOptions], as_json: bool
) -> None:
    """Print the status of each planned run; as JSON, one line per run, with its name if there are several."""
    for planned in planned_runs:
        name = api.train.describe_run(planned)
        plan = api.train.plan_train(dataset, options, planned)
        plan.contexts.plan.check()
        status = api.status.training_status(plan, options)
        if as_json:
            print(json.dumps(status.to_json() | ({"run": name} if len(planned_runs) > 1 else {})))
            continue
        if len(planned_runs) > 1:
            print(f"{name}:")
        print_status(status, as_json=False)


def score_table(scores: api.train.RunScores) -> str:
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


def grounding_table(grounding: api.train.RunGrounding) -> str:
    """Format the F1 of boxes in percent, and how gold mentions are grounded, with the floors in I+T below them."""
    splits = grounding.splits.items()
    rows = [[f"{name} {label}", *numbers] for name, split in splits for label, numbers in split.format_rows("")]
    return table(["boxes", "MNER", "EEG", "GMNER", "ratio", "gold spans", "in picture", "AUROC"], rows)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse a list of seeds such as `1,2,3`.

    Raises:
        UsageError: an element is no number.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts) or (text and not parts):
        raise UsageError(f"--seeds {text} is not a list of seeds", "--seeds 1,2,3")
    return tuple(map(int, parts))


def split_list(text: str) -> tuple[str, ...]:
    """The elements of a list such as `text,caption`."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def parse_train_sizes(text: str) -> tuple[int | None, ...]:
    """Parse numbers of train posts such as `250,500,all`; None stands for all.

    Raises:
        UsageError: an element is neither `all` nor a positive number.
    """
    parts = split_list(text)
    if not all(part == "all" or (part.isascii() and part.isdigit() and int(part)) for part in parts):
        raise UsageError(f"--train-sizes {text} is not a list of numbers of posts", "--train-sizes 250,500,all")
    return tuple(None if part == "all" else int(part) for part in parts)


def series_table(series: api.train.RunSeries) -> str:
    """Format the F1 of every run in percent, and below them the means over several seeds."""
    shows_objective = len({run.objective for run in series.runs}) > 1
    shows_size = len({run.train_size for run in series.runs}) > 1

    def named(row: api.train.SeriesRun | api.train.SeriesRow) -> list[str]:
        size = "all" if row.train_size is None else str(row.train_size)
        return [row.contexts, *([row.objective] if shows_objective else []), *([size] if shows_size else [])]

    header = ["contexts", *(["objective"] if shows_objective else []), *(["train posts"] if shows_size else [])]
    rows: list[list[str]] = []
    for run in series.runs:
        scores = [f"{100 * run.f1[split][view]:.2f}" for split, view in SERIES_COLUMNS.values()]
        rows.append([*named(run), str(run.seed), *scores, run.run])
    runs = table([*header, "seed", *SERIES_COLUMNS, "run"], rows)
    if all(len(row.seeds) == 1 for row in series.rows):
        return runs
    means: list[list[str]] = []
    for row in series.rows:
        scores = [row.f1[split][view].format_percent() for split, view in SERIES_COLUMNS.values()]
        means.append([*named(row), str(len(row.seeds)), *scores])
    return f"{runs}\n\n{table([*header, 'seeds', *SERIES_COLUMNS], means)}"
