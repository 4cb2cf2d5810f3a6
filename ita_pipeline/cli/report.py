"""`ita report`: an HTML page about a run, a dataset, or the results for pictures."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import resumable
from ita_pipeline.cli.options import DatasetFolder, Thumbnails, WorkspaceFolder
from ita_pipeline.core.text import clean_path


def report(
    target: Annotated[
        str, typer.Argument(metavar="RUN|DATASET|FOLDER", help="A run, a dataset, or a folder of pictures.")
    ],
    html: Annotated[Path, typer.Option(help="Where to write the page.")],
    dataset: Annotated[
        str | None, typer.Option(help="The run's dataset, where it is not where it was in training.")
    ] = None,
    data: DatasetFolder = None,
    pictures: Thumbnails = "auto",
    show: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write a page about a run, a dataset, or what `ita extract` found in a folder of pictures. It runs no stage.

    ita report example --html report.html

    ita report runs/example/0123456789abcdef --html report.html --open

    ita report images/ --html pictures.html
    """
    import ita_pipeline as ita
    from ita_pipeline.api.report import Pictures

    options = ita.ReportOptions(data, dataset, Pictures(pictures), workspace)
    with resumable() as display:
        result = ita.report(target, html, options, display)
    print(f"report    {clean_path(result.page)}, {result.shown} {result.what}")
    if result.pictures is not None:
        print(f"pictures  {clean_path(result.pictures)}, which belongs beside it")
    if show:
        webbrowser.open(result.page.resolve().as_uri())
