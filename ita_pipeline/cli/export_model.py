"""`ita export-model`: a trained run as a self-contained folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import print_note
from ita_pipeline.cli.options import WorkspaceFolder
from ita_pipeline.core.text import clean_path


def export_model(
    run: Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")],
    to: Annotated[Path, typer.Option("--to", help="Where to write; must not be there yet.")],
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write a run's model with its card, scores and check sums into a folder of its own, ready for a hub.

    ita export-model example --to ashby-ner/

    ita predict ashby-ner/ --text "Big night for Ashby"
    """
    import ita_pipeline as ita

    exported = ita.model_export.export_model(run, to, workspace)
    for file in sorted(exported.folder.iterdir()):
        print(clean_path(file))
    readme = clean_path(to / "README.md")
    print_note(f'hint: ita predict {clean_path(to)} --text "…"; read {readme} before you publish it')
