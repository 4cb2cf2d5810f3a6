"""`ita status`: what is fresh, stale and failed, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli import option_groups as groups
from ita_pipeline.cli.console import print_message, resumable, table
from ita_pipeline.cli.options import AsJson, DatasetFolder, ShardOf
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_path

if TYPE_CHECKING:
    from ita_pipeline.api.status import StageStatus, Status

MAX_LINES = 8


@groups.expand_groups
def status(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET|SOURCE]",
            help="A dataset as for train, or pictures as for extract; all pictures seen here before by default.",
        ),
    ] = None,
    *,
    selection: groups.StageSelection,
    location: groups.CacheLocation,
    repetition: groups.Repetition,
    shard: ShardOf = None,
    data: DatasetFolder = None,
    settings: groups.TrainingSettings,
    as_json: AsJson = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything is stale.")] = False,
) -> None:
    """Show, stage by stage, what is fresh, stale and failed, why, and how long the rest will take.

    ita status

    ita status images/

    ita status example --preset bundled
    """
    import ita_pipeline as ita

    options = groups.build_options(selection, location, repetition, shard=shard)
    training = groups.build_training(data, settings, stage=selection.stage)
    with resumable() as display:
        result = ita.status(target, options, training, display)
    print_status(result, as_json)
    if result.damaged:
        raise typer.Exit(ExitCode.CORRUPT)
    if exit_code and result.stale:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def print_status(status: Status, as_json: bool) -> None:
    """Print a status as JSON or as a table with reasons."""
    if as_json:
        print(json.dumps(status.to_json()))
        return
    rows = [
        [row.stage, row.key[:8] or "?", str(row.fresh), str(row.stale), str(row.failed), _format_forecast(row)]
        for row in status.stages
    ]
    print(table(["stage", "key", "fresh", "stale", "failed", "forecast"], rows))
    for row in status.stages:
        _print_reasons(row)
    for item in status.unreadable[:MAX_LINES]:
        print_message(f"{clean_path(item.label)} cannot be read: {item.reason}")
    if len(status.unreadable) > MAX_LINES:
        print_message(f"and {len(status.unreadable) - MAX_LINES} more")
    for folder in status.unfinished:
        print(f"unfinished: {clean_path(folder)}; the command that began it goes on, or remove the folder")
    if status.damaged:
        print_message("hint: ita cache verify names each damaged line; ita cache compact --drop-damaged mends")


def _print_reasons(row: StageStatus) -> None:
    """Print why items of a stage are stale, the most frequent reason first."""
    for reason, count in list(row.reasons.items())[:MAX_LINES]:
        print(f"{row.stage}: {reason}" if row.stage == "training" else f"{row.stage}: {count} × {reason}")
    if len(row.reasons) > MAX_LINES:
        print(f"{row.stage}: and {len(row.reasons) - MAX_LINES} other reasons")
    for kind, count in row.failures.items():
        print(f"{row.stage}: {count} failed before ({kind}); --retry-failed {kind} tries again")
    if row.damaged:
        print(f"{row.stage}: {row.damaged} damaged lines in the cache")


def _format_forecast(row: StageStatus) -> str:
    if not row.stale:
        return "–"
    seconds = row.seconds_forecast
    if seconds is None:
        return "unknown"
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
