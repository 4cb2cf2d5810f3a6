"""`ita cache push`, `pull` and `export`: carry records to other machines and other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ita_pipeline.cli.cache import Address, OfShared, app, open_shared
from ita_pipeline.cli.console import print_message, table
from ita_pipeline.cli.options import WorkspaceFolder
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_path

Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only this stage. Repeatable.")]

Target = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", help="A shared cache, as s3://bucket/ita-cache; else the one that is set."),
]


@app.command()
def push(url: Target = None, stage: Stages = None, workspace: WorkspaceFolder = Path()) -> None:
    """Put what lies in the cache and is not in a shared one there. What is there already is not sent again.

    ita cache push s3://bucket/ita-cache
    """
    from ita_pipeline.api.cache import damaged_lines, push_cache

    rows: list[list[str]] = []
    damaged: list[str] = []
    for key, moved in push_cache(url or "", workspace, tuple(stage or ())):
        rows.append([key.stage, key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        damaged += damaged_lines(moved)
    print(table(["put", "key", "segments", "MB"], rows))
    _fail_if_damaged(damaged, "hint: ita cache verify says more, ita cache compact --drop-damaged mends")


@app.command()
def pull(url: Target = None, stage: Stages = None, workspace: WorkspaceFolder = Path()) -> None:
    """Fetch what lies in a shared cache and is not here. Each record is checked before it comes in.

    What a record says is believed: share a cache only with those whose results you would use.

    ita cache pull s3://bucket/ita-cache
    """
    from ita_pipeline.api.cache import damaged_lines, pull_cache

    rows: list[list[str]] = []
    damaged: list[str] = []
    for pulled in pull_cache(url or "", workspace, tuple(stage or ())):
        key, moved = pulled.key, pulled.transfer
        rows.append([key.stage, key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        damaged += damaged_lines(moved)
        if pulled.left_out:
            print_message(f"{key.stage} {key.short[:8]} is left out: {pulled.left_out}")
    print(table(["fetched", "key", "segments", "MB"], rows))
    hint = "hint: ita cache compact URL --drop-damaged keeps every good line; the rest is computed anew"
    _fail_if_damaged(damaged, hint)


def _fail_if_damaged(damaged: Sequence[str], hint: str) -> None:
    for line in damaged:
        print_message(f"damaged, and left out: {clean_path(line)}")
    if damaged:
        print_message(hint)
        raise typer.Exit(ExitCode.CORRUPT)


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write to, or FILE.parquet for a single stage.")
    ],
    url: Address = None,
    of_shared: OfShared = False,
    stage: Stages = None,
    form: Annotated[Literal["parquet"], typer.Option("--format", help="Parquet: one file per stage.")] = "parquet",
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write all records to Parquet files for other programs; push and pull carry a cache to other machines.

    ita cache export records/ --format parquet
    """
    from ita_pipeline.api.cache import export_parquet

    if file.suffix.lower() == ".zip":
        raise _no_archives_error()
    parts, skipped = export_parquet(file, open_shared(url, of_shared), workspace, tuple(stage or ()))
    for part in parts:
        size = f"{part.size / 1e6:.2f} MB"
        print(f"{clean_path(part.file)}: {part.records} records under {part.keys} keys, {size}")
    for key, reason in skipped:
        print_message(f"{key.stage} {key.short[:8]} is left out: {reason}")


@app.command("import", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def import_() -> None:
    """Refuse the archives that earlier versions imported."""
    raise _no_archives_error()


def _no_archives_error() -> UsageError:
    return UsageError(
        "ita cache no longer reads or writes ZIP archives",
        "ita cache push FOLDER_OR_URL puts the cache there, and ita cache pull FOLDER_OR_URL fetches it",
    )
