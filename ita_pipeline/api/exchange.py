"""The Python API of `ita data import` and `ita data export`: datasets from and for other projects."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus import importing
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import CONTEXTS_FILE as CONTEXTS_FILE
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.formats.hf_datasets_writer import write_dataset
from ita_pipeline.corpus.formats.kbner import describe_changes, write_adaseq, write_kbner
from ita_pipeline.corpus.formats.label_studio_reader import is_task_file
from ita_pipeline.corpus.formats.label_studio_writer import write_tasks
from ita_pipeline.corpus.importing import ImportedDataset
from ita_pipeline.corpus.importing import import_contexts as import_contexts
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import PostContexts, make_contexts
from ita_pipeline.extraction.items import Extraction
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.presets import resolve_preset
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts
from ita_pipeline.sources.hub_datasets import is_loadable

logger = logging.getLogger(__name__)


class ExportForm(StrEnum):
    """What reads the files: KB-NER, which is ITA's code, AdaSeq, Label Studio, or the library `datasets`."""

    ITA = "ita"
    ADASEQ = "adaseq"
    LABEL_STUDIO = "label-studio"
    DATASETS = "datasets"


NO_CONTEXTS = PostContexts(ContextConfig(), Extraction((), (), (), ()))


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an export, how they differ from the dataset, and the extraction that was done for it."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    extraction: Extraction


def export(
    name: str,
    to: Path,
    form: ExportForm = ExportForm.ITA,
    options: Options | None = None,
    training: TrainOptions | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a dataset for another project, after bringing the contexts that it gets up to date.

    `ITA` writes the files that KB-NER reads: a folder `<name>` with the tweets alone, a folder `<name>_doc` with
    their contexts, and in `img` one image id per line. `ADASEQ` writes one folder with contexts. `LABEL_STUDIO`
    writes tasks with pictures and detected objects, which are the only context that it gets. `DATASETS` writes
    posts with tags and pictures, and no contexts, as `DatasetDict.save_to_disk` does.

    Raises:
        UserError: the dataset or a setting is missing or invalid, or `to` exists already.
        StageError: a model or tool is missing; finished records remain.
    """
    options, training = options or Options(), training or TrainOptions()
    refuse_existing(to)
    dataset = load_dataset(name, training.data, Workspace(options.workspace).data)
    if form is ExportForm.LABEL_STUDIO:
        chosen = training.contexts is None or "objects" in training.contexts
        training = replace(training, contexts=("objects",) if chosen else ())
    contexts = NO_CONTEXTS
    if form is not ExportForm.DATASETS:
        contexts = _make_contexts(dataset, options, training, progress or NoProgress())
    with new_folder(to) as folder:
        if form is ExportForm.LABEL_STUDIO:
            boxed = {
                split: [(post, contexts.select_objects(post)) for post in posts]
                for split, posts in dataset.splits.items()
            }
            files, notes = write_tasks(folder, to.absolute().name, boxed)
        elif form is ExportForm.DATASETS:
            files, notes = write_dataset(folder, dataset.splits)
        else:
            splits = {
                split: [(post, contexts.render(post)) for post in posts if post.words]
                for split, posts in dataset.splits.items()
            }
            notes = list(describe_changes(dataset.posts, splits))
            is_kbner = form is ExportForm.ITA
            files = write_kbner(folder, dataset.name, splits) if is_kbner else write_adaseq(folder, splits)
    places = tuple(to / file.relative_to(folder) for file in files)
    return Exported(places, tuple(notes), contexts.extraction)


def _make_contexts(dataset: Dataset, options: Options, training: TrainOptions, progress: Progress) -> PostContexts:
    store = Workspace(options.workspace).store
    choice = resolve_preset(options, ("training", "grounding"), training.contexts or (), dataset.card.language)
    logger.info(choice.why)
    plan = plan_dataset_contexts(dataset, choice.preset, options, training, store)
    Consent.of(options).require_for(plan.plan)
    with SubprocessExecutor(options.limits) as executor:
        return make_contexts(plan, store, LocalEngine(executor), progress)


def import_dataset(  # noqa: PLR0913
    source: str,
    to: Path,
    like: str | None = None,
    data: Path | None = None,
    tag_names: str | None = None,
    workspace: Path = Path(),
    knowledge: bool = False,
    text_column: str | None = None,
    image_column: str | None = None,
) -> ImportedDataset:
    """Import posts of another project as a folder for `--dataset`.

    The source is a CSV, TSV or Parquet file, a dataset of the library `datasets`, tasks that Label Studio has
    exported, or tweets with appended contexts. With `like`, tweets are paired with the posts of that dataset.
    `data` is the folder of its files, or of the pictures of tasks. With `knowledge`, the contexts are texts from a
    language model. `tag_names` lists the names of numbered tags. `text_column` and `image_column` name columns that
    have unusual names.

    Raises:
        UserError: files are missing or malformed, or `to` exists already.
    """
    if is_loadable(source, text_column):
        return importing.import_dataset(source, to, tag_names, text_column, image_column)
    if is_task_file(Path(source)):
        return importing.import_tasks(Path(source), to, data, text_column, image_column)
    if text_column or image_column:
        raise UsageError(f"{source} has no columns", "--text-column and --image-column are for tables and tasks")
    model = load_dataset(like, data, Workspace(workspace).data) if like else None
    return importing.import_tweets(Path(source), to, model, knowledge)
