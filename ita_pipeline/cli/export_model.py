"""`ita export-model`: a trained run as a self-contained folder."""

from __future__ import annotations

from pathlib import Path

import ita_pipeline as ita
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_note
from ita_pipeline.core.text import clean_path


def export_model(
    run: opts.RunName,
    to: opts.NewFolder,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Export the model of a run with its card, scores and checksums, ready to publish.

    ita export-model example --to ashby-ner/

    ita predict ashby-ner/ --text "Big night for Ashby"
    """
    exported = ita.model_export.export_model(run, to, workspace)
    for file in sorted(exported.folder.iterdir()):
        print(clean_path(file))
    readme = clean_path(to / "README.md")
    print_note(f'hint: ita predict {clean_path(to)} --text "…"; read {readme} before you publish it')
