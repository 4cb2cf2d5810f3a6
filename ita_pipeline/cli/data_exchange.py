"""`ita data import`, `import-contexts` and `export`: datasets and contexts from and to other projects."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ita_pipeline.cli.console import ProgressDisplay, confirm, note, resumable, shown
from ita_pipeline.cli.data import Name, app
from ita_pipeline.cli.extract import tell_failed
from ita_pipeline.cli.options import (
    Assignments,
    Captions,
    Contexts,
    DatasetFolder,
    Preset,
    WorkspaceFolder,
    base_settings,
    context_names,
)
from ita_pipeline.core.errors import ExitCode

__all__ = ["app"]


class ContextKind(StrEnum):
    """What imported contexts are, on the command line."""

    EXTRA = "extra"
    KNOWLEDGE = "knowledge"


class FormChoice(StrEnum):
    """Forms on the command line."""

    ITA = "ita"
    ADASEQ = "adaseq"


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
        ContextKind, typer.Option("--as", help="What the contexts are: extra, or what a language model knows.")
    ] = ContextKind.EXTRA,
) -> None:
    """Make a dataset of tweets with late contexts (ITA, MoRe, PGIM, AdaSeq), or of one in the form of `datasets`.

    ita data import PGIM/twitter2015/ --to knowledge/ --as knowledge --like twitter15 --data twitter2015/

    ita data import wnut_17 --to wnut/
    """
    from ita_pipeline.cache.workspace import Workspace
    from ita_pipeline.corpus.datasets import CONTEXTS_FILE, load_dataset
    from ita_pipeline.corpus.importing import import_dataset, import_tweets
    from ita_pipeline.sources.hub_datasets import is_loadable

    if is_loadable(source):
        found = import_dataset(source, to, tag_names)
    else:
        model = load_dataset(like, data, Workspace(workspace).data) if like else None
        found = import_tweets(Path(source), to, model, kind is ContextKind.KNOWLEDGE)
    for line in found.notes:
        note(line)
    sizes = ", ".join(f"{split} {len(posts)}" for split, posts in found.splits.items())
    print(f"{shown(to)}: {sum(map(len, found.splits.values()))} posts ({sizes})")
    note(f"hint: ita data check {shown(to)}; then ita train --dataset {shown(to)}")
    if like and (to / CONTEXTS_FILE).is_file():
        read = " --contexts knowledge" if kind is ContextKind.KNOWLEDGE else ""
        note(f"hint: the contexts alone: ita train --dataset {like} --captions {shown(to / CONTEXTS_FILE)}{read}")


@app.command("import-contexts")
def import_contexts(
    files: Annotated[list[Path], typer.Argument(help="VinVL's predictions.tsv, Oscar's captions, or others.")],
    to: To = Path("contexts.jsonl"),
) -> None:
    """Bring objects of VinVL and captions of Oscar together into one file that --captions takes.

    ita data import-contexts predictions.tsv captions.tsv --to contexts.jsonl

    ita train --dataset twitter15 --captions contexts.jsonl
    """
    from ita_pipeline.corpus import importing

    found = importing.import_contexts(files, to)
    if found.repeated:
        note(f"{found.repeated} pictures were told of twice; what came last counts")
    counts = ", ".join(f"{part} of {count}" for part, count in found.counts.items())
    print(f"{shown(to)}: {counts} pictures")
    note(f"hint: ita train --dataset … --captions {shown(to)}")


@app.command()
def export(
    dataset: Name,
    to: To,
    form: Annotated[
        FormChoice, typer.Option("--form", help="For KB-NER, the code of ITA, or for AdaSeq.")
    ] = FormChoice.ITA,
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
    from ita_pipeline.api.data import export as write
    from ita_pipeline.corpus.formats.kbner import ExportForm
    from ita_pipeline.extraction.options import Options
    from ita_pipeline.runs.plan import TrainOptions

    options = Options(preset, (), tuple(assignments or ()), workspace, base=base_settings(), confirm=confirm)
    training = TrainOptions(data, captions, context_names(contexts))
    display = ProgressDisplay()
    with resumable(display):
        found = write(dataset, to, ExportForm(form), options, training, display)
    for line in found.notes:
        note(line)
    for file in found.files:
        print(shown(file))
    tell_failed(found.extraction)
    if not found.extraction.clean:
        raise typer.Exit(ExitCode.NOT_CLEAN)
