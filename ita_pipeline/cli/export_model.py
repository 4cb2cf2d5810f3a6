"""`ita export-model`: a trained run as a folder that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import note, shown
from ita_pipeline.cli.options import WorkspaceFolder


def export_model(
    run: Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")],
    to: Annotated[Path, typer.Option("--to", help="Where to write; must not be there yet.")],
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write a run's model with its card, scores and check sums into a folder of its own, ready for a hub.

    ita export-model example --to ashby-ner/

    ita predict ashby-ner/ --text "Big night for Ashby"
    """
    from ita_pipeline.runs import export as model_export

    found = model_export.export_model(run, to, workspace)
    for file in sorted(found.folder.iterdir()):
        print(shown(file))
    note(f'hint: ita predict {shown(to)} --text "…"; read {shown(to / "README.md")} before you publish it')
