"""`ita export-model`: a trained run as a self-contained folder, and in a repository of the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

import ita_pipeline as ita
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_message, print_note
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import refuse_existing
from ita_pipeline.core.progress import activity
from ita_pipeline.core.text import clean_path, format_count


def export_model(
    run: opts.RunName,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="PATH", help="Folder to create; must not exist")
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Upload to this repository of the hub")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everyone see the repository")] = False,
    dry_run: opts.DryRun = False,
    onnx: Annotated[
        opts.GraphChoice | None,
        typer.Option("--onnx", metavar="[KIND]", help="Make a new ONNX graph; int8: also one in integers"),
    ] = None,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Export the model of a run with its card, scores and checksums, and upload it to the hub if asked to.

    ita export-model example --to ashby-ner/

    ita predict ashby-ner/ --text "Big night for Ashby"

    ita export-model example --to ashby-ner-int8/ --onnx int8

    ita export-model example --push ada/ashby-ner --dry-run
    """
    if to is None and push is None:
        raise UsageError("give --to, --push, or both", "ita export-model RUN --to FOLDER")
    if public and push is None:
        raise UsageError("--public requires --push", "ita export-model RUN --push OWNER/NAME --public")
    address = ita.model_export.repository_address(push) if push is not None else ""
    if to is not None:
        refuse_existing(to)
    with tempfile.TemporaryDirectory(prefix="ita-") as temporary:
        folder = to if to is not None and not dry_run else Path(temporary) / "model"
        exported = ita.model_export.export_model(run, folder, workspace, onnx or "")
        files = sorted(file for file in exported.folder.rglob("*") if file.is_file())
        if push is None and not dry_run:
            print("\n".join(map(clean_path, files)))
            print_note(
                f'hint: ita predict {clean_path(folder)} --text "…"; then read README.md before you publish it'
            )
            return
        for file in files:
            print(f"{file.stat().st_size:>13,}  {file.relative_to(exported.folder)}")
        size = sum(file.stat().st_size for file in files)
        what = f"{format_count(len(files), 'file')} ({size:,} bytes)"
        visibility = "public" if public else "private"
        if dry_run:
            places = " and ".join(
                [*([clean_path(to)] if to else []), *([f"{address} ({visibility})"] if push else [])]
            )
            print_message(f"dry run: {what} would go to {places}")
        elif push is not None:
            with activity(f"uploading to {address}"):
                address = ita.model_export.push_model(folder, push, public)
            print_message(f"uploaded {what} to {address} ({visibility})")
