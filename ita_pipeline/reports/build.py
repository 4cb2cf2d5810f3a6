"""Reports about a run, a dataset, or a folder or another source of pictures."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError, nearest
from ita_pipeline.core.progress import activity
from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.ner.metrics.errors import surface_forms
from ita_pipeline.reports.cache_lookup import CacheReader, picture_sources
from ita_pipeline.reports.explanations import add_explanations
from ita_pipeline.reports.gallery import make_picture_gallery
from ita_pipeline.reports.posts import ReportPost, list_facets, list_gold_mentions, read_posts
from ita_pipeline.reports.run_section import make_run_section
from ita_pipeline.reports.writer import Report, ReportWriter
from ita_pipeline.runs.lookup import finished_runs, look_up_run, nearest_run
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from ita_pipeline.sources.classify import classify
from ita_pipeline.sources.discover import discover
from ita_pipeline.sources.file_list import open_source
from stages.languages import load_words

logger = logging.getLogger(__name__)

MAX_IMAGES_AFTER_TRAINING = 240

# Without a run there are no thresholds. Objects of the preset `bundled` with a lower score are mostly wrong.
DEFAULT_CONTEXTS = ContextConfig(object_score=0.3)


def make_report(target: str | Path, writer: ReportWriter) -> Report:
    """Write a page about a run, a dataset without runs, or a folder or another source of pictures.

    A run is named as in every other command; a dataset may also be given by its folder or card.

    Raises:
        UserError: the target does not exist, or nothing was extracted from its pictures yet.
        OSError: the page cannot be written.
    """
    run = _find_run(str(target), writer.workspace)
    if run is not None:
        return report_run(run, writer)
    kind = classify(target)
    is_missing_run = (writer.workspace.runs / str(target).partition("/")[0]).is_dir()
    if kind.is_image_folder or (kind.is_source and not is_missing_run):
        return _report_pictures(str(target), writer)
    return _report_dataset(str(target), writer)


def report_run(run: Run, writer: ReportWriter, dataset: Dataset | None = None) -> Report:
    """Write a page about a run; `dataset` is its dataset if already loaded.

    Raises:
        UserError: a file of the run cannot be read, or the cache is damaged.
        OSError: the page cannot be written.
    """
    record = run.record()
    dataset = dataset or writer.reload_dataset(record)
    with activity("reading the posts"):
        items = list(read_posts(run, dataset, writer.notes))
        known = surface_forms(dataset.splits.get("train", ())) if dataset is not None else frozenset[str]()
        items = [replace(item, tags=(*item.tags, *list_facets(item, known))) for item in items]
        posts = [item.post for item in items]
        reader = CacheReader.for_run(record, writer.workspace.store, writer.notes)
        lookup = reader.look_up(picture_sources(posts), posts, dataset.posts if dataset else ())
    if writer.options.explain:
        with activity("loading the model"):
            predictor = Predictor(run, writer.workspace.store)
        items = add_explanations(items, lookup.contexts, predictor.decode, writer.notes, writer.progress)
    gallery = writer.make_gallery(items, lookup)
    with activity("writing the page"):
        section = make_run_section(run, dataset.card.about if dataset else "", items)
        return writer.write(f"{record.dataset}, run {record.key[:8]}", gallery, section)


def _report_dataset(target: str, writer: ReportWriter) -> Report:
    datasets = config_files("datasets")
    if target not in datasets and not Path(target).exists():
        hint = nearest_run(target, writer.workspace.runs) or nearest(target, datasets)
        hint = hint or "ita report RUN accepts a run's folder, a dataset, or a folder of pictures"
        raise MissingError(f"there is no run, dataset or folder {target}", hint)
    dataset = load_dataset(target, writer.options.data, writer.workspace.data)
    for note in dataset.notes:
        writer.notes.add(note)
    items = [
        ReportPost(post, split, number, list_gold_mentions(post))
        for split, posts in dataset.splits.items()
        for number, post in enumerate(posts, 1)
    ]
    posts = [item.post for item in items]
    language = dataset.card.language if load_words(dataset.card.language) else ""
    config = DEFAULT_CONTEXTS.model_copy(update={"language": language})
    lookup = CacheReader(writer.workspace.store, config, writer.notes).look_up(picture_sources(posts), posts)
    if not lookup.contexts.keys:
        writer.notes.add(f"nothing was extracted from the pictures of {dataset.name} yet")
    return writer.write(dataset.name, writer.make_gallery(items, lookup), about=dataset.card.about)


def _report_pictures(source: str, writer: ReportWriter) -> Report:
    store = writer.workspace.store
    listing = discover(source, store.manifest)
    label = open_source(source).label
    reader = CacheReader(store, DEFAULT_CONTEXTS, writer.notes)
    lookup = reader.look_up({Path(picture.label): picture for picture in listing.images})
    if not lookup.contexts.keys:
        raise MissingError(f"nothing was extracted from the pictures in {label} yet", f"ita extract {label}")
    for item in listing.unreadable:
        writer.notes.add(f"{escape_name(item.label)} cannot be read: {item.reason}")
    thumbnails = writer.make_thumbnails(lookup.images.values())
    gallery = make_picture_gallery(Path(label), lookup, thumbnails)
    return writer.write(f"Pictures in {escape_name(label)}", gallery)


def _find_run(target: str, workspace: Workspace) -> Run | None:
    """Return the run that `target` means, unless it is a folder of pictures; a dataset's run is reported."""
    folder, runs = Path(target), workspace.runs
    if any((path / "run.json").is_file() for path in (folder, runs / target)):
        return look_up_run(target, runs)
    in_runs = folder.is_dir() and folder.resolve().parent == runs.resolve()
    if classify(folder).is_image_folder and not in_runs:
        return None
    run = look_up_run(_dataset_name(folder), runs)
    if run is not None and len(finished_runs(run.folder.parent)) == 1:
        logger.info(f"run {run.folder}")
    return run


def _dataset_name(target: Path) -> str:
    """Return the name of a dataset given by its name, its folder, or the file of its card."""
    if target.is_dir():
        return target.resolve().name
    return target.stem if target.suffix in (".yaml", ".yml") else str(target)
