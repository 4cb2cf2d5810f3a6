"""`ita data list`, `check` and `stats`; `exchange` adds the commands that import and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_note, table
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_line, clean_path, format_count

app = typer.Typer(help="List, check, import and export datasets.", no_args_is_help=True)

MAX_FINDINGS = 5

Name = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="Dataset name, card file, or folder",
        autocompletion=opts.complete_names("datasets"),
    ),
]


@app.command("list")
def list_datasets(
    data: opts.DatasetFolder = None, workspace: opts.WorkspaceFolder = Path(), as_json: opts.AsJson = False
) -> None:
    """List the datasets that have a card, and where to get their files.

    ita data list
    """
    cards = api.data.list_datasets(data, workspace)
    if as_json:
        datasets = [
            {
                "name": item.name,
                "here": item.folder is not None,
                "folder": str(item.folder) if item.folder else None,
                "files": {split: str(path) for split, path in item.files.items()},
                "missing": item.missing,
            }
            | item.card.model_dump(include={"about", "format", "source", "licence"})
            for item in cards
        ]
        print(json.dumps({"schema": "ita.data-list/1", "datasets": datasets}))
        return
    for item in cards:
        place = f"in {clean_path(item.folder)}" if item.folder else "not here"
        print(f"{item.name}: {place}\n    {item.card.about}")
        if not item.folder:
            print(f"    {item.missing.partition(': ')[2] or item.missing}\n    {item.hint}")
    print_note("hint: a folder with tweets.jsonl and pictures is also a dataset; see docs/datasets.md")


@app.command()
def check(
    dataset: Name,
    data: opts.DatasetFolder = None,
    preset: opts.Preset = "auto",
    encoder: opts.Encoder = None,
    captions: opts.Captions = "auto",
    contexts: opts.Contexts = "all",
    experiment: opts.Experiment = None,
    assignments: opts.Assignments = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Ignore findings of this kind; repeatable")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every finding, not only the first of each kind")
    ] = False,
    workspace: opts.WorkspaceFolder = Path(),
    as_json: opts.AsJson = False,
) -> None:
    """Find what training refuses, leaks between splits, duplicates, missing pictures and contexts that are cut.

    Exits with 1 if there are findings.

    ita data check example --preset bundled

    ita data check twitter15 --data twitter2015/ --ignore orphan-tag --ignore missing-picture
    """
    options = opts.build_options(preset=preset, assignments=assignments, workspace=workspace)
    training = opts.build_training(
        data, captions=captions, contexts=contexts, encoder=encoder, experiment=experiment
    )
    result = api.data.check(dataset, options, training, tuple(ignore or ()))
    max_findings = len(result.findings) if every else MAX_FINDINGS
    print(json.dumps(result.to_json()) if as_json else _format_check(result, max_findings))
    if not result.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _format_check(result: api.data.Checked, max_findings: int) -> str:
    sizes = ", ".join(f"{split} {count}" for split, count in result.posts.items())
    lines = [
        f"{result.dataset}: {format_count(sum(result.posts.values()), 'post')}{f' ({sizes})' if sizes else ''}"
    ]
    for kind, findings in result.by_kind.items():
        lines += ["", f"{kind}: {kind.describe(len(findings))}", f"  {kind.advice}"]
        lines += [f"  - {item.where}: {item.what}" for item in findings[:max_findings]]
        if len(findings) > max_findings:
            lines.append(f"  - and {len(findings) - max_findings} more; --all shows them")
    if result.notes:
        lines += ["", *(f"note: {note}" for note in result.notes)]
    total = ", ".join(f"{len(findings)} {kind}" for kind, findings in result.by_kind.items())
    lines += ["", f"found: {total}" if total else "clean: no problems found"]
    return "\n".join(line[: len(line) - len(line.lstrip())] + clean_line(line) for line in lines)


@app.command()
def stats(
    dataset: Name,
    data: opts.DatasetFolder = None,
    workspace: opts.WorkspaceFolder = Path(),
    as_json: opts.AsJson = False,
) -> None:
    """Count the posts, words, mentions of each type, and pictures of each split.

    ita data stats example
    """
    splits = api.data.stats(dataset, data, workspace)
    if as_json:
        numbers = {name: split.model_dump() for name, split in splits.items()}
        print(json.dumps({"schema": "ita.data-stats/1", "dataset": dataset, "splits": numbers}))
        return
    print(_format_stats(splits))


def _format_stats(stats: dict[str, api.data.SplitStats]) -> str:
    """Format one row per number and one column per split, since there are few splits and many numbers."""
    splits = list(stats.values())
    types = sorted({name for split in splits for name in split.types})
    rows: list[tuple[str, list[int]]] = [
        ("posts", [s.posts for s in splits]),
        ("labeled posts", [s.labelled for s in splits]),
        ("posts without mentions", [s.without_mention for s in splits]),
        ("words", [s.words for s in splits]),
        ("words in the longest post", [s.longest for s in splits]),
        ("mentions", [s.mentions for s in splits]),
        *((f"mentions {name}", [s.types.get(name, 0) for s in splits]) for name in types),
        ("mentions not in train", [s.unseen for s in splits]),
        ("posts with a picture", [s.named_pictures for s in splits]),
        ("existing pictures", [s.pictures for s in splits]),
    ]
    if any(split.shown + split.not_shown for split in splits):
        rows += [
            ("mentions with a box", [s.shown for s in splits]),
            ("mentions known to have none", [s.not_shown for s in splits]),
            ("boxes", [s.boxes for s in splits]),
        ]
    return table(["", *stats], [[label, *(str(number) for number in numbers)] for label, numbers in rows])
