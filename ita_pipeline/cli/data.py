"""`ita data list`, `check` and `stats`: list, check and count datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import print_note, table
from ita_pipeline.cli.option_groups import build_options, build_training
from ita_pipeline.cli.options import (
    AsJson,
    Assignments,
    Captions,
    Contexts,
    DatasetFolder,
    Encoder,
    Experiment,
    Preset,
    WorkspaceFolder,
    complete_names,
)
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_line, clean_path

if TYPE_CHECKING:
    from ita_pipeline.api.data import Checked, SplitStats


app = typer.Typer(
    help="Datasets: list, check, stats, import, export.", no_args_is_help=True, pretty_exceptions_enable=False
)

MAX_FINDINGS = 5

Name = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="A dataset's name, a card's file, or a folder.",
        autocompletion=complete_names("datasets"),
    ),
]


@app.command("list")
def list_datasets(data: DatasetFolder = None, workspace: WorkspaceFolder = Path(), as_json: AsJson = False) -> None:
    """Show the datasets that have a card, whether their files are here, and where a person gets them.

    ita data list
    """
    from ita_pipeline.api.data import list_datasets as list_cards

    cards = list_cards(data, workspace)
    if as_json:
        datasets = [
            {
                "name": item.name,
                "about": item.card.about,
                "here": item.folder is not None,
                "folder": str(item.folder) if item.folder else None,
                "files": {split: str(path) for split, path in item.files.items()},
                "missing": item.missing,
                "format": item.card.format,
                "source": item.card.source,
                "licence": item.card.licence,
            }
            for item in cards
        ]
        print(json.dumps({"schema": "ita.data-list/1", "datasets": datasets}))
        return
    for item in cards:
        place = f"in {clean_path(item.folder)}" if item.folder else "not here"
        print(f"{item.name}: {place}\n    {item.card.about}")
        if not item.folder:
            print(f"    {item.missing.partition(': ')[2] or item.missing}\n    {item.hint}")
    print_note("hint: a folder with tweets.jsonl and pictures is a dataset too; see docs/datasets.md")


@app.command()
def check(
    dataset: Name,
    data: DatasetFolder = None,
    preset: Preset = "auto",
    encoder: Encoder = None,
    captions: Captions = "auto",
    contexts: Contexts = "all",
    experiment: Experiment = None,
    assignments: Assignments = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Leave out findings of a kind. Repeatable.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every finding, not the first of each kind.")] = False,
    workspace: WorkspaceFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Look for bad tags, leakage between splits, duplicates, missing pictures and contexts too long.

    Ends with exit code 1 if anything was found.

    ita data check example --preset bundled

    ita data check twitter15 --data twitter2015/ --ignore orphan-tag --ignore missing-picture
    """
    from ita_pipeline.api import data as commands

    options = build_options(preset=preset, assignments=assignments, workspace=workspace)
    training = build_training(data, captions=captions, contexts=contexts, encoder=encoder, experiment=experiment)
    result = commands.check(dataset, options, training, tuple(ignore or ()))
    max_findings = len(result.findings) if every else MAX_FINDINGS
    print(json.dumps(result.to_json()) if as_json else _format_check(result, max_findings))
    if not result.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def _format_check(result: Checked, max_findings: int) -> str:
    sizes = ", ".join(f"{split} {count}" for split, count in result.posts.items())
    lines = [f"{result.dataset}: {sum(result.posts.values())} posts ({sizes})"]
    for kind, findings in result.by_kind.items():
        lines += ["", f"{kind.name}: {len(findings)} {kind.title}", f"  {kind.advice}"]
        lines += [f"  - {item.where}: {item.what}" for item in findings[:max_findings]]
        if len(findings) > max_findings:
            lines.append(f"  - and {len(findings) - max_findings} more; --all shows them")
    if result.notes:
        lines += ["", *(f"note: {note}" for note in result.notes)]
    total = ", ".join(f"{len(findings)} {kind.name}" for kind, findings in result.by_kind.items())
    lines += ["", f"found: {total}" if total else "clean: nothing was found"]
    return "\n".join(line[: len(line) - len(line.lstrip())] + clean_line(line) for line in lines)


@app.command()
def stats(
    dataset: Name, data: DatasetFolder = None, workspace: WorkspaceFolder = Path(), as_json: AsJson = False
) -> None:
    """Count posts, words, mentions by type, and pictures of every split.

    ita data stats example
    """
    from ita_pipeline.api import data as commands

    splits = commands.stats(dataset, data, workspace)
    if as_json:
        numbers = {name: split.model_dump() for name, split in splits.items()}
        print(json.dumps({"schema": "ita.data-stats/1", "dataset": dataset, "splits": numbers}))
        return
    print(_format_stats(splits))


def _format_stats(stats: dict[str, SplitStats]) -> str:
    """Format one row per number and one column per split, since there are few splits and many numbers."""
    splits = list(stats.values())
    types = sorted({name for split in splits for name in split.types})
    rows: list[tuple[str, list[int]]] = [
        ("posts", [s.posts for s in splits]),
        ("posts labelled", [s.labelled for s in splits]),
        ("posts without a mention", [s.without_mention for s in splits]),
        ("words", [s.words for s in splits]),
        ("words of the longest post", [s.longest for s in splits]),
        ("mentions", [s.mentions for s in splits]),
        *((f"mentions {name}", [s.types.get(name, 0) for s in splits]) for name in types),
        ("mentions not in train", [s.unseen for s in splits]),
        ("posts that name a picture", [s.named_pictures for s in splits]),
        ("pictures that are there", [s.pictures for s in splits]),
    ]
    return table(["", *stats], [[label, *(str(number) for number in numbers)] for label, numbers in rows])
