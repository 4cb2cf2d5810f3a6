"""`ita train`: from a dataset to a tagger, doing only what is stale."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import Watcher, resumable, say, table
from ita_pipeline.cli.extract import outcome_table, tell_failed
from ita_pipeline.cli.options import Assignments, Preset, RetryFailed, WorkspaceFolder
from ita_pipeline.errors import ExitCode

if TYPE_CHECKING:
    from ita_pipeline.runs import RunScores


def train(
    dataset: Annotated[
        str, typer.Option(help="example, twitter15, twitter17, snap, a card's file, or a folder of posts.")
    ],
    data: Annotated[Path | None, typer.Option(envvar="ITA_DATA", help="Where the dataset's files lie.")] = None,
    preset: Preset = "auto",
    encoder: Annotated[
        str | None, typer.Option(help="minilm, a model of the hub, or a folder; the preset's by default.")
    ] = None,
    captions: Annotated[
        str, typer.Option(help="A file of captions made elsewhere; auto takes the card's; or none.")
    ] = "auto",
    contexts: Annotated[
        str, typer.Option(help="What of the picture is appended: all, none, or a list as caption,ocr.")
    ] = "all",
    alignment: Annotated[
        bool, typer.Option(help="Cross-view alignment; without it, train on the view I+T alone.")
    ] = True,
    experiment: Annotated[str | None, typer.Option(help="Training settings: a name or a YAML file.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    stage: Annotated[list[str] | None, typer.Option(help="Append only what this stage found. Repeatable.")] = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    retry_failed: RetryFailed = False,
) -> None:
    """Train the tagger on a dataset, running beforehand only the stages, and only the pictures, that are stale.

    ita train --dataset example

    ita train --dataset twitter15 --data twitter2015/ --set training.epochs=3
    """
    from ita_pipeline import pipeline
    from ita_pipeline.corpus.contexts import CONTEXTS

    names = {"all": CONTEXTS, "none": ()}.get(contexts, tuple(filter(None, contexts.split(","))))
    names = tuple(stage) if stage else names
    options = pipeline.Options(preset, (), tuple(assignments or ()), workspace, retry_failed)
    training = pipeline.TrainOptions(
        data, captions, names, encoder, experiment, alignment, seed, "ita " + shlex.join(sys.argv[1:])
    )
    with resumable():
        trained = pipeline.train(dataset, options, training, Watcher())
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
