"""`ita report`: a page to look at, about a run, a dataset, or what was found in pictures."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, resumable, shown
from ita_pipeline.cli.options import DatasetFolder, PictureChoice, Thumbnails, WorkspaceFolder


def report(
    target: Annotated[
        str, typer.Argument(metavar="RUN|DATASET|FOLDER", help="A run, a dataset, or a folder of pictures.")
    ],
    html: Annotated[Path, typer.Option(help="Where to write the page.")],
    dataset: Annotated[
        str | None, typer.Option(help="The run's dataset, where it is not where it was in training.")
    ] = None,
    data: DatasetFolder = None,
    pictures: Thumbnails = PictureChoice.AUTO,
    show: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write a page about a run, a dataset, or what `ita extract` found in a folder of pictures. It runs no stage.

    ita report example --html report.html

    ita report runs/example/0123456789abcdef --html report.html --open

    ita report images/ --html pictures.html
    """
    import ita_pipeline as ita
    from ita_pipeline.reports.thumbnails import Pictures

    options = ita.ReportOptions(data, dataset, Pictures(pictures), workspace)
    display = ProgressDisplay()
    with resumable(display):
        made = ita.report(target, html, options, display)
    print(f"report    {shown(made.page)}, {made.shown} {made.what}")
    if made.pictures is not None:
        print(f"pictures  {shown(made.pictures)}, which belongs beside it")
    if show:
        webbrowser.open(made.page.resolve().as_uri())
