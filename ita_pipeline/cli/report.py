"""`ita report` and `ita compare`: pages about runs, datasets and pictures, and the difference of two runs."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_message, resumable, table
from ita_pipeline.core.text import clean_path, format_count


def report(
    target: Annotated[
        str, typer.Argument(metavar="RUN|DATASET|FOLDER", help="Run, dataset, or folder of pictures")
    ],
    html: Annotated[Path, typer.Option(metavar="FILE", help="HTML page to write")],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Dataset of the run, if it has moved since training")
    ] = None,
    data: opts.DatasetFolder = None,
    pictures: opts.Thumbnails = "auto",
    explain: Annotated[
        bool, typer.Option("--explain", help="For posts that the contexts changed, show which part did it")
    ] = False,
    show: opts.OpenPage = False,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Write an HTML page about a run, a dataset, or the extracted contexts of pictures. Runs no stage.

    ita report example --html report.html

    ita report runs/example/0123456789abcdef --html report.html --open

    ita report example --html report.html --explain

    ita report images/ --html pictures.html
    """
    options = ita.ReportOptions(data, dataset, api.report.Pictures(pictures), workspace, explain)
    with resumable() as display:
        result = ita.report(target, html, options, display)
    print(f"report    {clean_path(result.page)}, {format_count(result.shown, result.what[:-1])}")
    if result.pictures is not None:
        print(f"pictures  {clean_path(result.pictures)}, to be kept beside it")
    if show:
        webbrowser.open(result.page.resolve().as_uri())


def compare(
    a: Annotated[str, typer.Argument(help="Baseline run: its folder, or DATASET/KEY")],
    b: Annotated[str, typer.Argument(help="Run to compare with it")],
    split: Annotated[str, typer.Option(metavar="NAME", help="Split to compare: test or dev")] = "test",
    samples: Annotated[
        int, typer.Option(min=100, max=1_000_000, metavar="N", help="Number of samples of each test")
    ] = 10_000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed of the tests")] = 1,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML page to write, with the posts that changed")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Dataset of the runs, if it has moved since training")
    ] = None,
    data: opts.DatasetFolder = None,
    pictures: opts.Thumbnails = "auto",
    workspace: opts.WorkspaceFolder = Path(),
    as_json: opts.AsJson = False,
) -> None:
    """Compare two runs on the same test posts, with paired bootstrap and approximate randomization.

    ita compare runs/twitter15/0123456789abcdef runs/twitter15/fedcba9876543210

    ita compare mine/0123456789abcdef mine/fedcba9876543210 --html compare.html
    """
    with resumable() as display:
        comparison = ita.compare(a, b, split, samples, seed, workspace)
        if html is not None:
            options = ita.ReportOptions(data, dataset, api.report.Pictures(pictures), workspace)
            report = ita.compare_page(comparison, html, options, display)
            print_message(f"wrote {clean_path(report.page)} with {format_count(report.shown, 'changed post')}")
    if as_json:
        print(json.dumps(comparison.to_json()))
        return
    print(_format_comparison(comparison))
    if comparison.a == comparison.b:
        print_message("A and B are the same run")
    posts = f"{comparison.posts} posts of {comparison.split} with {comparison.mentions} mentions"
    print_message(f"{posts}; {samples} samples, seed {comparison.seed}")
    print_message("95 % interval: paired bootstrap over posts; p: approximate randomization")


def _format_comparison(comparison: api.report.Comparison) -> str:
    rows: list[list[str]] = []
    views = (("text", "T"), ("text+image", "I+T"))
    pairs = [(name, comparison.views[view]) for view, name in views]
    pairs += [(f"{name} with boxes", comparison.grounded[view]) for view, name in views if comparison.grounded]
    for name, scores in pairs:
        interval = f"{100 * scores.bootstrap.low:+.2f} … {100 * scores.bootstrap.high:+.2f}"
        numbers = [f"{100 * scores.a:.2f}", f"{100 * scores.b:.2f}", f"{100 * scores.difference:+.2f}"]
        rows.append([name, *numbers, interval, f"{scores.randomisation.p:.4f}"])
    return table(["view", "F1 of A", "F1 of B", "B − A", "95 % interval", "p"], rows)
