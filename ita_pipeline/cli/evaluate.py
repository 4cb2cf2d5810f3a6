"""`ita evaluate`: the scores of a run on other posts than those it was trained with."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from ita_pipeline.cli.console import print_message, resumable
from ita_pipeline.cli.extract import outcome_table, print_failures
from ita_pipeline.cli.option_groups import CacheLocation, Sending, build_options, expand_groups
from ita_pipeline.cli.options import AsJson, Captions, DatasetFolder
from ita_pipeline.cli.train import score_table
from ita_pipeline.core.errors import ExitCode


@expand_groups
def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")],
    dataset: Annotated[str, typer.Argument(help="A dataset with labels: a name, a card's file, or a folder.")],
    split: Annotated[list[str] | None, typer.Option(help="test by default. Repeatable.")] = None,
    data: DatasetFolder = None,
    captions: Captions = "auto",
    *,
    location: CacheLocation,
    sending: Sending,
    as_json: AsJson = False,
) -> None:
    """Score a run on labelled posts, in both views. Nothing is trained; only stale pictures are looked at.

    ita evaluate twitter15 twitter17 --data twitter2017/

    ita evaluate runs/mine/0123456789abcdef corrected-posts/ --split dev --split test
    """
    import ita_pipeline as ita

    options = build_options(location, sending)
    with resumable() as display:
        evaluation = ita.evaluate(run, dataset, tuple(split or ("test",)), options, display, data, captions)
    extraction = evaluation.extraction
    if extraction.stages:
        print(outcome_table(extraction), file=sys.stderr)
    print_failures(extraction)
    if evaluation.foreign:
        types = ", ".join(evaluation.foreign)
        print_message(f"the run knows no {types}: each such mention counts as missed")
    print(json.dumps(evaluation.to_json()) if as_json else score_table(evaluation.scores))
    if not extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)
