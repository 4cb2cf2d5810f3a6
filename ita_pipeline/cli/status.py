"""`ita status`: what is fresh, stale and failed, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, resumable, say, shown, table
from ita_pipeline.cli.options import (
    Alignment,
    AsJson,
    Assignments,
    Captions,
    Contexts,
    DatasetFolder,
    Encoder,
    Experiment,
    Preset,
    Refresh,
    RetryFailed,
    Seed,
    ShardOf,
    Shared,
    Stages,
    WorkspaceFolder,
    base_settings,
    context_names,
    kinds,
    shard_of,
)
from ita_pipeline.core.errors import ExitCode

if TYPE_CHECKING:
    from ita_pipeline.runs.status import StageStatus, Status


MOST_REASONS = 8


def status(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATASET|SOURCE]",
            help="A dataset as for train, or pictures as for extract; all pictures seen here before by default.",
        ),
    ] = None,
    preset: Preset = "auto",
    stage: Stages = None,
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
    shared: Shared = "",
    retry_failed: RetryFailed = None,
    refresh: Refresh = None,
    shard: ShardOf = None,
    data: DatasetFolder = None,
    encoder: Encoder = None,
    captions: Captions = "auto",
    contexts: Contexts = "all",
    alignment: Alignment = True,
    experiment: Experiment = None,
    seed: Seed = None,
    as_json: AsJson = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if anything is stale.")] = False,
) -> None:
    """Show, stage by stage, what is fresh, stale and failed, why, and how long the rest will take.

    ita status

    ita status images/

    ita status example --preset bundled
    """
    import ita_pipeline as ita

    options = ita.Options(
        preset=preset,
        stages=tuple(stage or ()),
        assignments=tuple(assignments or ()),
        base=base_settings(),
        workspace=workspace,
        shared=shared,
        retry_failed=kinds(retry_failed),
        refresh=tuple(refresh or ()),
        shard=shard_of(shard),
    )
    names = context_names(contexts, stage)
    training = ita.TrainOptions(data, captions, names, encoder, experiment, alignment, seed)
    display = ProgressDisplay()
    with resumable(display):
        found = ita.status(target, options, training, display)
    show_status(found, as_json)
    if found.damaged:
        raise typer.Exit(ExitCode.CORRUPT)
    if exit_code and found.stale:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def show_status(found: Status, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.to_json()))
        return
    rows = [
        [row.stage, row.key[:8] or "?", str(row.fresh), str(row.stale), str(row.failed), forecast(row)]
        for row in found.stages
    ]
    print(table(["stage", "key", "fresh", "stale", "failed", "forecast"], rows))
    for row in found.stages:
        print_reasons(row)
    for item in found.unreadable[:MOST_REASONS]:
        say(f"{shown(item.label)} cannot be read: {item.reason}")
    if len(found.unreadable) > MOST_REASONS:
        say(f"and {len(found.unreadable) - MOST_REASONS} more")
    for folder in found.unfinished:
        print(f"unfinished: {shown(folder)}; the command that began it goes on, or remove the folder")
    if found.damaged:
        say("hint: ita cache verify names each damaged line; ita cache compact --drop-damaged mends")


def print_reasons(row: StageStatus) -> None:
    """Why a stage's images are stale, the commonest reason first."""
    for reason, count in list(row.reasons.items())[:MOST_REASONS]:
        print(f"{row.stage}: {reason}" if row.stage == "training" else f"{row.stage}: {count} × {reason}")
    if len(row.reasons) > MOST_REASONS:
        print(f"{row.stage}: and {len(row.reasons) - MOST_REASONS} other reasons")
    for kind, count in row.failures.items():
        print(f"{row.stage}: {count} failed before ({kind}); --retry-failed {kind} tries again")
    if row.damaged:
        print(f"{row.stage}: {row.damaged} damaged lines in the cache")


def forecast(row: StageStatus) -> str:
    if not row.stale:
        return "–"
    return "unknown" if row.seconds_forecast is None else duration(row.seconds_forecast)


def duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
