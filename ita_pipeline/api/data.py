"""The Python API of `ita data`: list, check, count, import and export datasets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.api.data_check import Checked as Checked
from ita_pipeline.api.data_check import check as check
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError
from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus import importing
from ita_pipeline.corpus.datasets import CONTEXTS_FILE as CONTEXTS_FILE
from ita_pipeline.corpus.datasets import DatasetCard, find_data_folder, find_split_files, load_dataset
from ita_pipeline.corpus.formats.kbner import ExportForm, describe_changes, write_export
from ita_pipeline.corpus.importing import ImportedDataset
from ita_pipeline.corpus.importing import import_contexts as import_contexts
from ita_pipeline.corpus.stats import SplitStats, compute_stats
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import make_contexts
from ita_pipeline.extraction.items import Extraction
from ita_pipeline.extraction.options import Options, ask_consent
from ita_pipeline.extraction.presets import resolve_preset
from ita_pipeline.runs.plan import TrainOptions, plan_dataset_contexts
from ita_pipeline.sources.hub_datasets import is_loadable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A dataset that has a card, and its files; `missing` and `hint` say which files are missing, if any."""

    name: str
    card: DatasetCard
    folder: Path | None
    files: Mapping[str, Path] = field(default_factory=dict)
    missing: str = ""
    hint: str = ""


def list_datasets(data: Path | None = None, workspace: Path = Path()) -> list[DatasetEntry]:
    """Return every dataset that has a card."""
    entries: list[DatasetEntry] = []
    for name, file in config_files("datasets").items():
        card = DatasetCard.read(file)
        try:
            folder = find_data_folder(name, card, data, Workspace(workspace).data)
            entries.append(DatasetEntry(name, card, folder, find_split_files(name, card, folder)))
        except MissingError as error:
            entries.append(DatasetEntry(name, card, None, {}, str(error), error.hint))
    return entries


def stats(name: str, data: Path | None = None, workspace: Path = Path()) -> dict[str, SplitStats]:
    """Count posts, words, mentions and images of each split of a dataset.

    Raises:
        UserError: the dataset is missing or a line is malformed.
    """
    return compute_stats(load_dataset(name, data, Workspace(workspace).data).splits)


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
    """Write a dataset and its contexts for another project, after bringing its contexts up to date.

    `ITA` writes the files that KB-NER reads: a folder `<name>` with the tweets alone, a folder `<name>_doc` with
    their contexts, and in `img` one image id per line. `ADASEQ` writes one folder with contexts.

    Raises:
        UserError: the dataset or a setting is missing or invalid, or `to` exists already.
        StageError: a model or tool is missing; finished records remain.
    """
    options, training = options or Options(), training or TrainOptions()
    refuse_existing(to)
    workspace = Workspace(options.workspace)
    dataset = load_dataset(name, training.data, workspace.data)
    choice = resolve_preset(options, also=("training",), contexts=training.contexts or ())
    logger.info(choice.why)
    plan = plan_dataset_contexts(dataset, choice.preset, options, training, workspace.store)
    ask_consent(plan.plan, options.consent, options.confirm)
    with SubprocessExecutor(options.limits) as executor:
        contexts = make_contexts(plan, workspace.store, LocalEngine(executor), progress or NoProgress())
    splits = {
        split: [(post, contexts.render(post)) for post in posts if post.words]
        for split, posts in dataset.splits.items()
    }
    with new_folder(to) as folder:
        files = write_export(folder, dataset.name, splits, form)
    places = tuple(to / file.relative_to(folder) for file in files)
    return Exported(places, tuple(describe_changes(dataset.posts, splits)), contexts.extraction)


def import_dataset(  # noqa: PLR0913
    source: str,
    to: Path,
    like: str | None = None,
    data: Path | None = None,
    tag_names: str | None = None,
    workspace: Path = Path(),
    knowledge: bool = False,
) -> ImportedDataset:
    """Import tweets with appended contexts, or a dataset from the `datasets` library, as a folder for `--dataset`.

    With `like`, tweets are paired with the posts of that dataset. With `knowledge`, the contexts are texts from a
    language model. `tag_names` lists the names of numbered tags.

    Raises:
        UserError: files are missing or malformed, or `to` exists already.
    """
    if is_loadable(source):
        return importing.import_dataset(source, to, tag_names)
    model = load_dataset(like, data, Workspace(workspace).data) if like else None
    return importing.import_tweets(Path(source), to, model, knowledge)
