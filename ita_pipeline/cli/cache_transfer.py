"""`ita cache push`, `pull` and `export`: carry records to other machines and other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.cache import Address, OfShared, app, place_asked
from ita_pipeline.cli.console import say, shown, table
from ita_pipeline.cli.options import WorkspaceFolder
from ita_pipeline.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from ita_pipeline.cache.shared.sync import Transfer


Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only this stage. Repeatable.")]

Target = Annotated[
    str | None,
    typer.Argument(metavar="[URL]", help="A shared cache, as s3://bucket/ita-cache; else the one that is set."),
]


class Format(StrEnum):
    """File format of an export."""

    PARQUET = "parquet"


@app.command()
def push(url: Target = None, stage: Stages = None, workspace: WorkspaceFolder = Path()) -> None:
    """Put what lies in the cache and is not in a shared one there. What is there already is not sent again.

    ita cache push s3://bucket/ita-cache
    """
    from ita_pipeline.api.cache import push_cache

    rows: list[list[str]] = []
    total = Transfers()
    for key, moved in push_cache(url or "", workspace, tuple(stage or ())):
        rows.append([key.stage, key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        total.count(moved)
    print(table(["put", "key", "segments", "MB"], rows))
    total.end("hint: ita cache verify says more, ita cache compact --drop-damaged mends")


@app.command()
def pull(url: Target = None, stage: Stages = None, workspace: WorkspaceFolder = Path()) -> None:
    """Fetch what lies in a shared cache and is not here. Each record is checked before it comes in.

    What a record says is believed: share a cache only with those whose results you would use.

    ita cache pull s3://bucket/ita-cache
    """
    from ita_pipeline.api.cache import pull_cache

    rows: list[list[str]] = []
    total = Transfers()
    for found in pull_cache(url or "", workspace, tuple(stage or ())):
        moved = found.transfer
        rows.append([found.key.stage, found.key.short[:8], str(moved.segments), f"{moved.size / 1e6:.2f}"])
        total.count(moved)
        if found.left_out:
            say(f"{found.key.stage} {found.key.short[:8]} is left out: {found.left_out}")
    print(table(["fetched", "key", "segments", "MB"], rows))
    total.end("hint: ita cache compact URL --drop-damaged keeps every good line; the rest is computed anew")


class Transfers:
    """What was found to be damaged on the way."""

    def __init__(self) -> None:
        self.damaged: list[str] = []

    def count(self, moved: Transfer) -> None:
        from ita_pipeline.extraction.session import format_damage

        self.damaged += [format_damage(*found) for found in moved.damaged]

    def end(self, hint: str) -> None:
        """
        Raises:
            typer.Exit: something is damaged, and was left out.
        """
        for place in self.damaged:
            say(f"damaged, and left out: {shown(place)}")
        if self.damaged:
            say(hint)
            raise typer.Exit(ExitCode.CORRUPT)


@app.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder to write to, or FILE.parquet for a single stage."),
    ],
    url: Address = None,
    of_shared: OfShared = False,
    stage: Stages = None,
    form: Annotated[Format, typer.Option("--format", help="Parquet: one file per stage.")] = Format.PARQUET,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write all records to Parquet files for other programs; push and pull carry a cache to other machines.

    ita cache export records/ --format parquet
    """
    from ita_pipeline.api.cache import export_parquet

    if file.suffix.lower() == ".zip":
        raise no_archives()
    parts, left_out = export_parquet(file, place_asked(url, of_shared), workspace, tuple(stage or ()))
    for part in parts:
        print(f"{shown(part.file)}: {part.records} records under {part.keys} keys, {part.size / 1e6:.2f} MB")
    for key, why in left_out:
        say(f"{key.stage} {key.short[:8]} is left out: {why}")


@app.command("import", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def import_() -> None:
    """Refuse the archives that earlier versions imported."""
    raise no_archives()


def no_archives() -> UsageError:
    """The error for commands that used to read or write ZIP archives."""
    return UsageError(
        "ita cache no longer reads or writes ZIP archives",
        "ita cache push FOLDER_OR_URL puts the cache there, and ita cache pull FOLDER_OR_URL fetches it",
    )
