"""What every report does: collect notes, make thumbnails and a gallery, and write the page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.progress import Notes, Progress
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.reports.blocks import RunSection
from ita_pipeline.reports.cache_lookup import CacheLookup
from ita_pipeline.reports.gallery import VIEW_COMPARISON, AnswerComparison, Gallery, ReportPost, make_gallery
from ita_pipeline.reports.models import judge_answers
from ita_pipeline.reports.page import Page, write_page
from ita_pipeline.reports.thumbnails import Pictures, Thumbnail, ThumbnailStore
from ita_pipeline.runs.run import RunRecord
from ita_pipeline.sources.refs import ImageRef

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Options of a report; `data` and `dataset` replace the folder and the dataset used in training."""

    data: Path | None = None
    dataset: str | None = None
    pictures: Pictures = Pictures.AUTO
    workspace: Path = Path()


@dataclass(frozen=True, slots=True)
class Report:
    """The page, the folder of its thumbnails if any, and the number of posts or pictures (`what`) on it."""

    page: Path
    pictures: Path | None
    shown: int
    what: str


class ReportWriter:
    """A page in the making: its notes, its thumbnails and its file."""

    def __init__(self, html: Path, options: ReportOptions, progress: Progress) -> None:
        self.html = html
        self.options = options
        self.progress = progress
        self.workspace = Workspace(options.workspace)
        self.notes = Notes(logger)
        self._thumbnail_store: ThumbnailStore | None = None

    def reload_dataset(self, record: RunRecord) -> Dataset | None:
        """Load the dataset of a run, or note that its pictures are missing.

        Raises:
            UserError: the dataset named in the options cannot be loaded.
        """
        source = self.options.dataset or self._resolve_path(record.source or record.dataset)
        data = self.options.data or (Path(self._resolve_path(record.folder)) if record.folder else None)
        try:
            return load_dataset(source, data, self.workspace.data)
        except UserError as error:
            if self.options.dataset:
                raise
            where = "--dataset and --data say where they lie"
            self.notes.add(f"the pictures of {record.dataset} were not found ({error}); {where}")
            return None

    def make_gallery(
        self,
        posts: Sequence[ReportPost],
        lookup: CacheLookup,
        comparison: AnswerComparison = VIEW_COMPARISON,
        max_images: int | None = None,
    ) -> Gallery:
        """Make the gallery of posts; the most telling posts get the first `max_images` thumbnails."""
        ranked = sorted(posts, key=lambda p: judge_answers(p.answers, comparison.before, comparison.after)[1])
        images = lookup.distinct_images(item.post for item in ranked)
        return make_gallery(posts, lookup, self.make_thumbnails(images[:max_images]), comparison)

    def make_thumbnails(self, images: Sequence[ImageRef]) -> dict[str, Thumbnail]:
        """Make thumbnails where the options say; return them by picture key."""
        self.html.parent.mkdir(parents=True, exist_ok=True)
        count = len({image.key for image in images})
        store = self._thumbnail_store = ThumbnailStore.open(self.options.pictures, count, self.html)
        return store.add(images, self.progress) if store else {}

    def write(self, title: str, gallery: Gallery, run: RunSection | None = None, about: str = "") -> Report:
        """Write the page; `about` precedes its notes.

        Raises:
            OSError: the page cannot be written.
        """
        store = self._thumbnail_store
        folder = store.folder if store else None
        notes = (about, *self.notes.lines) if about else tuple(self.notes.lines)
        write_page(Page(title, gallery, run, notes), self.html, pictures_beside=folder is not None)
        if store:
            store.remove_unused()
        return Report(self.html, folder, len(gallery.entries), gallery.what)

    def _resolve_path(self, path: str) -> str:
        """Resolve a path of the run's training, which most likely ran in the workspace."""
        in_workspace = self.options.workspace / path
        return str(in_workspace) if path and not Path(path).exists() and in_workspace.exists() else path


def refuse_folder(html: Path, example: str) -> None:
    """Refuse a folder as the path of a page; `example` is a file name for the hint.

    Raises:
        UsageError: `html` is a folder.
    """
    if html.is_dir():
        raise UsageError(f"{html} is a folder", f"name the page in it: --html {html / example}")
