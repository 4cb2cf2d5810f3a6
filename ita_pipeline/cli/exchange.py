"""`ita data import`, `import-contexts` and `export`: datasets and contexts from and for other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import print_note, resumable
from ita_pipeline.cli.data import Name, app
from ita_pipeline.cli.extract import exit_unless_clean, print_failures
from ita_pipeline.core.text import clean_path, format_count


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="File, folder, or dataset of the hub (owner/name)")],
    to: opts.NewFolder,
    like: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Match the tweets by their words with this dataset")
    ] = None,
    data: opts.DatasetFolder = None,
    tag_names: Annotated[
        str | None, typer.Option(metavar="LIST", help="Names of numbered tags, such as O,B-PER,I-PER")
    ] = None,
    text_column: opts.TextColumn = None,
    image_column: opts.ImageColumn = None,
    workspace: opts.WorkspaceFolder = Path(),
    kind: Annotated[
        Literal["extra", "knowledge"],
        typer.Option("--as", help="Import the contexts as extra text or as knowledge"),
    ] = "extra",
) -> None:
    """Import a table, a dataset of `datasets`, tasks of Label Studio, or tweets with contexts (ITA, MoRe, PGIM).

    ita data import PGIM/twitter2015/ --to knowledge/ --as knowledge --like twitter15 --data twitter2015/

    ita data import wnut_17 --to wnut/

    ita data import posts.csv --text-column body --to mine/

    ita data import project-1.json --data to-label/ --to labeled/
    """
    is_knowledge = kind == "knowledge"
    columns = (text_column, image_column)
    imported = api.exchange.import_dataset(source, to, like, data, tag_names, workspace, is_knowledge, *columns)
    for line in imported.notes:
        print_note(line)
    sizes = ", ".join(f"{split or 'without a split'} {len(posts)}" for split, posts in imported.splits.items())
    folder = clean_path(to)
    print(f"{folder}: {format_count(sum(map(len, imported.splits.values())), 'post')} ({sizes})")
    print_note(f"hint: ita data check {folder}; then ita train --dataset {folder}")
    contexts = to / api.exchange.CONTEXTS_FILE
    if like and contexts.is_file():
        option = " --contexts knowledge" if is_knowledge else ""
        train = f"ita train --dataset {like} --captions {clean_path(contexts)}{option}"
        print_note(f"hint: to use the contexts alone: {train}")


@app.command("import-contexts")
def import_contexts(
    files: Annotated[list[Path], typer.Argument(help="VinVL's predictions.tsv, Oscar's captions, or similar")],
    to: opts.NewFolder = Path("contexts.jsonl"),
) -> None:
    """Merge objects of VinVL and captions of Oscar into one file for --captions.

    ita data import-contexts predictions.tsv captions.tsv --to contexts.jsonl

    ita train --dataset twitter15 --captions contexts.jsonl
    """
    imported = api.exchange.import_contexts(files, to)
    if imported.repeated:
        print_note(f"{format_count(imported.repeated, 'picture')} listed twice; the last entry is used")
    counts = ", ".join(f"{part} of {count}" for part, count in imported.counts.items())
    print(f"{clean_path(to)}: {counts} pictures")
    print_note(f"hint: ita train --dataset … --captions {clean_path(to)}")


@app.command()
def export(
    dataset: Name,
    to: opts.NewFolder,
    form: Annotated[
        Literal["ita", "adaseq", "label-studio", "datasets"],
        typer.Option("--form", help="Format of KB-NER (the code of ITA), AdaSeq, Label Studio or `datasets`"),
    ] = "ita",
    data: opts.DatasetFolder = None,
    preset: opts.Preset = "auto",
    captions: opts.Captions = "auto",
    contexts: opts.Contexts = "all",
    assignments: opts.Assignments = None,
    workspace: opts.WorkspaceFolder = Path(),
) -> None:
    """Export a dataset for another project, after running the stages whose results it contains.

    ita data export example --to kb-ner/ --preset bundled

    ita data export twitter15 --to adaseq/ --form adaseq --contexts caption,ocr

    ita data export example --to to-label/ --form label-studio --preset bundled

    ita data export example --to saved/ --form datasets
    """
    options = opts.build_options(preset=preset, assignments=assignments, workspace=workspace)
    training = opts.build_training(data, captions=captions, contexts=contexts)
    with resumable() as display:
        exported = api.exchange.export(dataset, to, api.exchange.ExportForm(form), options, training, display)
    for line in exported.notes:
        print_note(line)
    for file in exported.files:
        print(clean_path(file))
    if form == "label-studio":
        folder = to.absolute()
        root = f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={clean_path(folder.parent)}"
        print_note(f"hint: LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true {root} label-studio start")
        print_note(f"      add {clean_path(folder)} as local storage without a sync; see docs/data.md")
    print_failures(exported.extraction)
    exit_unless_clean(exported.extraction)
