"""`ita data import`, `import-contexts` and `export`: datasets and contexts from and to other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ita_pipeline.cli.console import print_note, resumable
from ita_pipeline.cli.data import Name, app
from ita_pipeline.cli.extract import print_failures
from ita_pipeline.cli.option_groups import build_options, build_training
from ita_pipeline.cli.options import Assignments, Captions, Contexts, DatasetFolder, Preset, WorkspaceFolder
from ita_pipeline.core.errors import ExitCode
from ita_pipeline.core.text import clean_path

__all__ = ["app"]


To = Annotated[Path, typer.Option("--to", help="Where to write; must not be there yet.")]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="A file, a folder, or a dataset of the hub, owner/name.")],
    to: To,
    like: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Pair tweets by their words with this dataset's.")
    ] = None,
    data: DatasetFolder = None,
    tag_names: Annotated[
        str | None, typer.Option(metavar="O,B-PER,…", help="Names of numbered tags, where the dataset has none.")
    ] = None,
    workspace: WorkspaceFolder = Path(),
    kind: Annotated[
        Literal["extra", "knowledge"],
        typer.Option("--as", help="What the contexts are: extra, or what a language model knows."),
    ] = "extra",
) -> None:
    """Make a dataset of tweets with late contexts (ITA, MoRe, PGIM, AdaSeq), or of one in the form of `datasets`.

    ita data import PGIM/twitter2015/ --to knowledge/ --as knowledge --like twitter15 --data twitter2015/

    ita data import wnut_17 --to wnut/
    """
    from ita_pipeline.api import data as commands

    is_knowledge = kind == "knowledge"
    imported = commands.import_dataset(source, to, like, data, tag_names, workspace, is_knowledge)
    for line in imported.notes:
        print_note(line)
    sizes = ", ".join(f"{split} {len(posts)}" for split, posts in imported.splits.items())
    folder = clean_path(to)
    print(f"{folder}: {sum(map(len, imported.splits.values()))} posts ({sizes})")
    print_note(f"hint: ita data check {folder}; then ita train --dataset {folder}")
    contexts = to / commands.CONTEXTS_FILE
    if like and contexts.is_file():
        option = " --contexts knowledge" if is_knowledge else ""
        train = f"ita train --dataset {like} --captions {clean_path(contexts)}{option}"
        print_note(f"hint: the contexts alone: {train}")


@app.command("import-contexts")
def import_contexts(
    files: Annotated[list[Path], typer.Argument(help="VinVL's predictions.tsv, Oscar's captions, or others.")],
    to: To = Path("contexts.jsonl"),
) -> None:
    """Bring objects of VinVL and captions of Oscar together into one file that --captions takes.

    ita data import-contexts predictions.tsv captions.tsv --to contexts.jsonl

    ita train --dataset twitter15 --captions contexts.jsonl
    """
    from ita_pipeline.api import data as commands

    imported = commands.import_contexts(files, to)
    if imported.repeated:
        print_note(f"{imported.repeated} pictures were told of twice; what came last counts")
    counts = ", ".join(f"{part} of {count}" for part, count in imported.counts.items())
    print(f"{clean_path(to)}: {counts} pictures")
    print_note(f"hint: ita train --dataset … --captions {clean_path(to)}")


@app.command()
def export(
    dataset: Name,
    to: To,
    form: Annotated[
        Literal["ita", "adaseq"], typer.Option("--form", help="For KB-NER, the code of ITA, or for AdaSeq.")
    ] = "ita",
    data: DatasetFolder = None,
    preset: Preset = "auto",
    captions: Captions = "auto",
    contexts: Contexts = "all",
    assignments: Assignments = None,
    workspace: WorkspaceFolder = Path(),
) -> None:
    """Write a dataset with its contexts for another project, after looking at pictures that are stale.

    ita data export example --to kb-ner/ --preset bundled

    ita data export twitter15 --to adaseq/ --form adaseq --contexts caption,ocr
    """
    from ita_pipeline.api import data as commands

    options = build_options(preset=preset, assignments=assignments, workspace=workspace)
    training = build_training(data, captions=captions, contexts=contexts)
    with resumable() as display:
        exported = commands.export(dataset, to, commands.ExportForm(form), options, training, display)
    for line in exported.notes:
        print_note(line)
    for file in exported.files:
        print(clean_path(file))
    print_failures(exported.extraction)
    if not exported.extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)
