"""`ita evaluate`: the scores of a run on other posts than those it was made with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, resumable, say
from ita_pipeline.cli.extract import outcome_table, tell_failed
from ita_pipeline.cli.options import (
    AsJson,
    Captions,
    DatasetFolder,
    MaxRequests,
    MaxTokens,
    Shared,
    WorkspaceFolder,
    Yes,
    base_settings,
    budget,
)
from ita_pipeline.cli.train import score_table
from ita_pipeline.core.errors import ExitCode


def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")],
    dataset: Annotated[str, typer.Argument(help="A dataset with labels: a name, a card's file, or a folder.")],
    split: Annotated[list[str] | None, typer.Option(help="test by default. Repeatable.")] = None,
    data: DatasetFolder = None,
    captions: Captions = "auto",
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Score a run on labelled posts, in both views. Nothing is trained; only stale pictures are looked at.

    ita evaluate twitter15 twitter17 --data twitter2017/

    ita evaluate runs/mine/0123456789abcdef corrected-posts/ --split dev --split test
    """
    import ita_pipeline as ita

    options = ita.Options(
        workspace=workspace,
        shared=shared,
        base=base_settings(),
        assignments=budget(max_requests, max_tokens),
        consent=yes,
        confirm=confirm,
    )
    display = ProgressDisplay()
    with resumable(display):
        found = ita.evaluate(run, dataset, tuple(split or ("test",)), options, display, data, captions)
    if found.extraction.stages:
        print(outcome_table(found.extraction), file=sys.stderr)
    tell_failed(found.extraction)
    if found.foreign:
        say(f"the run knows no {', '.join(found.foreign)}: each such mention counts as missed")
    print(json.dumps(found.to_json()) if as_json else score_table(found.scores))
    if not found.extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)
