"""`ita data`: the datasets at hand, checked and counted; `exchange` adds the ways from and to other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ita_pipeline.cli.console import note, shown, table
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
    base_settings,
    context_names,
    names_of,
)
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_line

if TYPE_CHECKING:
    from ita_pipeline.api.data import Checked
    from ita_pipeline.corpus.stats import SplitStats


app = typer.Typer(
    help="Datasets: list, check, stats, import, export.", no_args_is_help=True, pretty_exceptions_enable=False
)

MOST_SHOWN = 5

Name = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A dataset's name, a card's file, or a folder.", autocompletion=names_of("datasets")
    ),
]


@app.command("list")
def list_datasets(data: DatasetFolder = None, workspace: WorkspaceFolder = Path(), as_json: AsJson = False) -> None:
    """Show the datasets that have a card, whether their files are here, and where a person gets them.

    ita data list
    """
    from ita_pipeline.api.data import listed

    found = listed(data, workspace)
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
            for item in found
        ]
        print(json.dumps({"schema": "ita.data-list/1", "datasets": datasets}))
        return
    for item in found:
        here = f"in {shown(item.folder)}" if item.folder else "not here"
        print(f"{item.name}: {here}\n    {item.card.about}")
        if not item.folder:
            print(f"    {item.missing.partition(': ')[2] or item.missing}\n    {item.hint}")
    note("hint: a folder with tweets.jsonl and pictures is a dataset too; see docs/datasets.md")


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
    from ita_pipeline.extraction.options import Options
    from ita_pipeline.runs.plan import TrainOptions

    options = Options(
        preset=preset, assignments=tuple(assignments or ()), base=base_settings(), workspace=workspace
    )
    training = TrainOptions(data, captions, context_names(contexts), encoder, experiment)
    found = commands.check(dataset, options, training, tuple(ignore or ()))
    print(json.dumps(found.to_json()) if as_json else readable(found, len(found.findings) if every else MOST_SHOWN))
    if not found.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)


def readable(found: Checked, most: int) -> str:
    sizes = ", ".join(f"{split} {count}" for split, count in found.posts.items())
    lines = [f"{found.dataset}: {sum(found.posts.values())} posts ({sizes})"]
    for kind, findings in found.by_kind.items():
        lines += ["", f"{kind.name}: {len(findings)} {kind.title}", f"  {kind.advice}"]
        lines += [f"  - {item.where}: {item.what}" for item in findings[:most]]
        if len(findings) > most:
            lines.append(f"  - and {len(findings) - most} more; --all shows them")
    if found.notes:
        lines += ["", *(f"note: {note}" for note in found.notes)]
    total = ", ".join(f"{len(findings)} {kind.name}" for kind, findings in found.by_kind.items())
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

    found = commands.stats(dataset, data, workspace)
    if as_json:
        splits = {name: split.model_dump() for name, split in found.items()}
        print(json.dumps({"schema": "ita.data-stats/1", "dataset": dataset, "splits": splits}))
        return
    print(stats_table(found))


def stats_table(found: dict[str, SplitStats]) -> str:
    """A row a number, a column a split, for there are few splits and many numbers."""
    splits = list(found.values())
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
    return table(["", *found], [[label, *(str(number) for number in numbers)] for label, numbers in rows])
