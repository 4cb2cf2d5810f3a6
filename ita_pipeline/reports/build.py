"""`report`: a page about a run, a dataset, or a folder of pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError, UsageError, UserError, nearest
from ita_pipeline.core.notes import Notes
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.reports.cache_lookup import keys_of, look_up
from ita_pipeline.reports.gallery import Seen, Shown, gold_of, make_gallery, make_picture_gallery
from ita_pipeline.reports.models import verdict
from ita_pipeline.reports.page import Page, write_page
from ita_pipeline.reports.predictions import answered
from ita_pipeline.reports.run_section import run_part
from ita_pipeline.reports.thumbnails import Album, Pictures, Thumbnail, album_for, make_thumbnails
from ita_pipeline.runs.run import Run, RunRecord, find_run, last_run, nearest_run
from ita_pipeline.sources.classify import classify
from ita_pipeline.sources.discover import discover
from ita_pipeline.sources.file_list import open_source
from ita_pipeline.sources.refs import ImageRef

logger = logging.getLogger(__name__)

MOST_AT_TRAINING = 240

# Without a run there are no thresholds of its own. This one is the preset bundled's: below it a small detector is
# mostly wrong.
USUAL = ContextConfig(object_score=0.3)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`data` and `dataset` say where a dataset lies now, if not where it was asked for in training."""

    data: Path | None = None
    dataset: str | None = None
    pictures: Pictures = Pictures.AUTO
    workspace: Path = Path()


@dataclass(frozen=True, slots=True)
class Report:
    """The page, the folder of its thumbnails where it has one, and how many posts or pictures it shows."""

    page: Path
    pictures: Path | None
    shown: int
    what: str


def make_report(
    target: str | Path, html: Path, options: ReportOptions | None = None, progress: Progress | None = None
) -> Report:
    """Write a page about a run (its folder, `dataset/key`, or a dataset that has one), about a dataset without
    runs, or about a folder, or another source, of pictures.

    Raises:
        UserError: there is no such thing, or nothing was extracted from the pictures yet.
        OSError: the page cannot be written.
    """
    options, progress = options or ReportOptions(), progress or NoProgress()
    if html.is_dir():
        raise UsageError(f"{html} is a folder", f"name the page in it: --html {html / 'report.html'}")
    workspace = Workspace(options.workspace)
    run = run_of(str(target), workspace)
    if run is not None:
        return report_run(run, html, options, progress)
    if classify(target).is_image_folder or is_elsewhere(str(target), workspace):
        return report_pictures(str(target), html, options, progress)
    return report_dataset(str(target), html, options, progress)


def run_of(target: str, workspace: Workspace) -> Run | None:
    """The run that is meant; of a dataset's runs the one finished last, which is told."""
    if any((folder / "run.json").is_file() for folder in (Path(target), workspace.runs / target)):
        return find_run(target, workspace.runs)
    folder = Path(target)
    inside = folder.is_dir() and folder.resolve().parent == workspace.runs.resolve()
    if classify(folder).is_image_folder and not inside:
        return None
    run = last_run(workspace.runs, dataset_name(folder))
    if run is not None:
        others = len(list(run.folder.parent.glob("*/scores.json"))) - 1
        more = f", the last of {others + 1}; name another to see it" if others else ""
        logger.info(f"run {run.folder}{more}")
    return run


def dataset_name(target: Path) -> str:
    """What a dataset is called that was asked for by name, by its folder, or by the file of its card."""
    if target.is_dir():
        return target.resolve().name
    return target.stem if target.suffix in (".yaml", ".yml") else str(target)


def report_run(
    run: Run,
    html: Path,
    options: ReportOptions,
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    most: int | None = None,
) -> Report:
    """A page about a run; `dataset` is its dataset where it is loaded already. At `most` so many pictures are
    shown, those of the most telling posts.

    Raises:
        UserError: a file of the run cannot be read, or the cache is damaged.
        OSError: the page cannot be written.
    """
    notes, record, store = Notes(logger), run.record(), Workspace(options.workspace).store
    dataset = dataset or dataset_again(record, options, notes)
    posts = list(answered(run, dataset, notes))
    seen = look_up(
        *asked_of(posts),
        record.contexts,
        store,
        keys_of(record.stage_keys, store, notes),
        notes,
        [shown.post for shown in posts],
    )
    telling = sorted(posts, key=lambda shown: verdict(shown.answers)[1])
    album, thumbnails = thumbnails_of(in_order(telling, seen)[:most], html, options, progress or NoProgress())
    gallery = make_gallery(posts, seen, thumbnails)
    part = run_part(run, dataset.card.about if dataset else "", posts)
    return written(Page(f"{record.dataset}, run {record.key[:8]}", gallery, part, tuple(notes.lines)), html, album)


def report_dataset(target: str, html: Path, options: ReportOptions, progress: Progress) -> Report:
    workspace = Workspace(options.workspace)
    check_known(target, workspace)
    dataset = load_dataset(target, options.data, workspace.data)
    notes = Notes(logger)
    for note in dataset.notes:
        notes.add(note)
    posts = [
        Shown(post, split, number, gold_of(post))
        for split, found in dataset.splits.items()
        for number, post in enumerate(found, 1)
    ]
    seen = look_up(*asked_of(posts), USUAL, workspace.store, None, notes, [shown.post for shown in posts])
    if not seen.contexts.keys:
        notes.add(f"nothing was extracted from the pictures of {dataset.name} yet")
    album, thumbnails = thumbnails_of(in_order(posts, seen), html, options, progress)
    page = Page(dataset.name, make_gallery(posts, seen, thumbnails), notes=(dataset.card.about, *notes.lines))
    return written(page, html, album)


def is_elsewhere(target: str, workspace: Workspace) -> bool:
    """Whether it is a source of pictures, and not a run that is not there."""
    return classify(target).is_source and not (workspace.runs / target.partition("/")[0]).is_dir()


def report_pictures(source: str, html: Path, options: ReportOptions, progress: Progress) -> Report:
    store = Workspace(options.workspace).store
    found, notes = discover(source, store.manifest), Notes(logger)
    label = open_source(source).label
    places = {Path(source.label): source for source in found.images}
    seen = look_up(places, (), USUAL, store, None, notes, places=places)
    if not seen.contexts.keys:
        raise MissingError(f"nothing was extracted from the pictures in {label} yet", f"ita extract {label}")
    for item in found.unreadable:
        notes.add(f"{escape_name(item.label)} cannot be read: {item.reason}")
    album, thumbnails = thumbnails_of(list(seen.images.values()), html, options, progress)
    page = Page(
        f"Pictures in {escape_name(label)}",
        make_picture_gallery(Path(label), seen, thumbnails),
        None,
        tuple(notes.lines),
    )
    return written(page, html, album)


def check_known(target: str, workspace: Workspace) -> None:
    """
    Raises:
        UsageError: the target is neither a dataset nor the file of a card nor a folder.
    """
    known = config_files("datasets")
    if target in known or Path(target).exists():
        return
    hint = nearest_run(target, workspace.runs) or nearest(target, known)
    hint = hint or "ita report RUN, a run's folder; DATASET; or a folder of pictures"
    raise UsageError(f"{target} is no run, no dataset and no folder of pictures", hint)


def dataset_again(record: RunRecord, options: ReportOptions, notes: Notes) -> Dataset | None:
    """The dataset of a run, where it can be found; the page can do without."""
    source = options.dataset or in_workspace(record.source or record.dataset, options.workspace)
    data = options.data or (Path(in_workspace(record.folder, options.workspace)) if record.folder else None)
    try:
        return load_dataset(source, data, Workspace(options.workspace).data)
    except UserError as error:
        if options.dataset:
            raise
        notes.add(
            f"the pictures of {record.dataset} were not found ({error}); --dataset and --data say where they lie"
        )
        return None


def in_workspace(place: str, workspace: Path) -> str:
    """A path as it was given in training, which was most likely done in the workspace."""
    there = workspace / place
    return str(there) if place and not Path(place).exists() and there.exists() else place


def asked_of(posts: Sequence[Shown]) -> tuple[list[Path], list[str]]:
    """The picture files and picture ids of posts."""
    paths = [shown.post.picture for shown in posts if shown.post.picture is not None]
    return paths, list(dict.fromkeys(shown.post.image_id for shown in posts if shown.post.image_id))


def in_order(posts: Sequence[Shown], seen: Seen) -> list[ImageRef]:
    """The pictures of posts in their order, each content once."""
    found = [seen.images.get(shown.post.picture) for shown in posts if shown.post.picture is not None]
    return list({image.key: image for image in found if image is not None}.values())


def thumbnails_of(
    images: Sequence[ImageRef], html: Path, options: ReportOptions, progress: Progress
) -> tuple[Album, dict[str, Thumbnail]]:
    html.parent.mkdir(parents=True, exist_ok=True)
    album = album_for(options.pictures, len({image.key for image in images}), html)
    if options.pictures is Pictures.NONE:
        return album, {}
    return album, make_thumbnails(images, album, progress)


def written(page: Page, html: Path, album: Album) -> Report:
    write_page(page, html, album.folder is not None)
    album.tidy()
    return Report(html, album.folder, len(page.gallery.entries), page.gallery.what)
