"""`ita runs`: list, name and remove runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import confirm_removal, print_message, print_note, table
from ita_pipeline.cli.train import SERIES_COLUMNS
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.text import clean_path, format_count

SHORT_KEY = 8


class ListByDefault(TyperGroup):
    """A group whose command `list` runs if none is named, so that `ita runs DATASET` lists runs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert `list` before arguments that name no command."""
        is_named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if is_named or ctx.resilient_parsing else ["list", *args])


app = typer.Typer(cls=ListByDefault, help="List, name and remove runs. Without a command: list.")


@app.command("list")
def list_runs(
    dataset: Annotated[str | None, typer.Argument(help="Dataset whose runs are listed; by default all")] = None,
    workspace: opts.WorkspaceFolder = Path(),
    as_json: opts.AsJson = False,
) -> None:
    """List finished runs with their F1 in both views, the last one first.

    Commands accept a run as DATASET/KEY, or the start of the key; as a name; as DATASET@best (highest dev F1 of
    I+T) or DATASET@latest. DATASET alone is DATASET@best.

    ita runs

    ita runs list example --json
    """
    summaries = ita.list_runs(dataset, workspace)
    if as_json:
        print(json.dumps({"schema": "ita.runs/1", "runs": [summary.to_json() for summary in summaries]}))
        return
    if not summaries:
        print_message("there are no runs; ita train --dataset example makes one")
        return
    print(_format_runs(summaries))


def _format_runs(summaries: Sequence[api.runs.RunSummary]) -> str:
    rows: list[list[str]] = []
    for run in summaries:
        columns = SERIES_COLUMNS.values()
        scores = [f"{100 * run.f1[split][view]:.2f}" if split in run.f1 else "–" for split, view in columns]
        encoder = Path(run.encoder).name
        about = [run.contexts, encoder, str(run.seed), f"{run.finished.astimezone():%Y-%m-%d %H:%M}"]
        names = ", ".join(run.names)
        target = f"{run.dataset}/{run.run.name[:SHORT_KEY]}"
        rows.append([target, *scores, *about, _format_size(run.bytes), names])
    about = ["contexts", "encoder", "seed", "finished", "size", "names"]
    return table(["run", *SERIES_COLUMNS, *about], rows)


def _format_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@app.command("name")
def name_run(
    run: opts.RunName,
    name: Annotated[str | None, typer.Argument(help="Name to use in place of the run's folder")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the names of the run instead")] = False,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Give a run a name, which every command accepts. A name that another run has moves to this one.

    ita runs name example@best baseline

    ita predict baseline --text "Lunch in Marlow"

    ita runs name baseline --remove
    """
    if (name is None) != remove:
        raise UsageError("give either a name or --remove", "ita runs name RUN NAME, or ita runs name RUN --remove")
    if name is None:
        names = ita.unname_run(run, workspace)
        print_message(f"names removed: {', '.join(names) or 'none'}")
        return
    before = ita.name_run(run, name, workspace)
    print_message(f"{name} is now {clean_path(ita.find_run(name, workspace).folder)}")
    if before:
        print_message(f"until now it was {before}")


@app.command("rm")
def remove_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs to remove, but no dataset of several")],
    dry_run: opts.DryRemoval = False,
    yes: opts.AgreeToRemoval = False,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Remove runs with their models, predictions and reports. Records of pictures stay in the cache.

    ita runs rm example/0123456789abcdef

    ita runs rm example@latest --yes
    """
    found = {run.folder: run for run in (api.runs.find_removable_run(target, workspace) for target in runs)}
    for folder in found:
        print(f"{clean_path(folder)}  {_format_size(api.runs.folder_size(folder))}")
    if dry_run:
        return
    confirm_removal(f"Remove {format_count(len(found), 'run')}?", yes)
    for run in found.values():
        ita.remove_run(run, workspace)
    print_note(f"removed {format_count(len(found), 'run')}")
