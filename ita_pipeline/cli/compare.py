"""`ita compare`: two runs on the same posts, and whether their difference is more than chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, resumable, say, shown, table
from ita_pipeline.cli.options import AsJson, DatasetFolder, PictureChoice, Thumbnails, WorkspaceFolder

if TYPE_CHECKING:
    from ita_pipeline.runs.compare import Comparison


def compare(
    a: Annotated[str, typer.Argument(help="A run: its folder, or DATASET/KEY.")],
    b: Annotated[str, typer.Argument(help="The run that may be better.")],
    split: Annotated[str, typer.Option(help="test or dev.")] = "test",
    samples: Annotated[int, typer.Option(min=100, max=1_000_000, help="Samples of each of both tests.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, with the posts that changed.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The runs' dataset, where it is not where it was in training.")
    ] = None,
    data: DatasetFolder = None,
    pictures: Thumbnails = PictureChoice.AUTO,
    workspace: WorkspaceFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Compare two runs on the posts that both were tested on, by bootstrap and by randomisation.

    ita compare runs/twitter15/0123456789abcdef runs/twitter15/fedcba9876543210

    ita compare mine/0123456789abcdef mine/fedcba9876543210 --html compare.html
    """
    import ita_pipeline as ita
    from ita_pipeline.reports.thumbnails import Pictures

    display = ProgressDisplay()
    with resumable(display):
        found = ita.compare(a, b, split, samples, seed, workspace)
        if html is not None:
            options = ita.ReportOptions(data, dataset, Pictures(pictures), workspace)
            made = ita.compare_page(found, html, options, display)
            say(f"page {shown(made.page)}, {made.shown} posts that changed")
    if as_json:
        print(json.dumps(found.to_json()))
        return
    print(comparison_table(found))
    say(
        f"{found.posts} posts of {found.split} with {found.mentions} mentions; {samples} samples, seed {found.seed}"
    )
    say("the interval holds 95 in 100 differences over posts drawn anew; p is that of approximate randomisation")


def comparison_table(found: Comparison) -> str:
    rows = []
    for view, name in (("text", "T"), ("text+image", "I+T")):
        one = found.views[view]
        interval = f"{100 * one.bootstrap.low:+.2f} … {100 * one.bootstrap.high:+.2f}"
        numbers = [f"{100 * one.a:.2f}", f"{100 * one.b:.2f}", f"{100 * one.difference:+.2f}"]
        rows.append([name, *numbers, interval, f"{one.randomisation.p:.4f}"])
    return table(["view", "F1 of A", "F1 of B", "B − A", "95 % interval", "p"], rows)
