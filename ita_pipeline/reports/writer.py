"""What every report does: collect notes, make thumbnails and a gallery, and write the page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.files import write_atomically
from ita_pipeline.core.progress import NoProgress, Notes, Progress
from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.reports.blocks import RunSection
from ita_pipeline.reports.cache_lookup import CacheLookup
from ita_pipeline.reports.gallery import VIEW_COMPARISON, AnswerComparison, Gallery, make_gallery
from ita_pipeline.reports.page import PageTemplate, render_template
from ita_pipeline.reports.posts import ReportPost, judge_answers
from ita_pipeline.reports.thumbnails import Pictures, Thumbnails, ThumbnailStore
from ita_pipeline.runs.run import RunRecord
from ita_pipeline.sources.refs import ImageRef

logger = logging.getLogger(__name__)

PAGE = PageTemplate("page.html", ("elements", "state", "picture", "explanation", "threads", "post", "card", "show"))

EMBEDDED_IMAGES = "img-src data:"

# A page opened as a file has no origin, so 'self' alone does not allow its folder in every browser.
EMBEDDED_IMAGES_AND_FOLDER = "img-src data: 'self' file:"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Options of a report; `data` and `dataset` replace the folder and the dataset used in training.

    With `explain`, the page of a run shows how probabilities move without each part of the contexts, for the posts
    whose answer the contexts changed.
    """

    data: Path | None = None
    dataset: str | None = None
    pictures: Pictures = Pictures.AUTO
    workspace: Path = Path()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The page, the folder of its thumbnails if any, and the number of posts or pictures (`what`) on it."""

    page: Path
    pictures: Path | None
    shown: int
    what: str


class ReportWriter:
    """A page in the making: its notes, its thumbnails and its file.

    With `max_images` the page has that many pictures, those of the most telling posts.

    Raises:
        UsageError: `html` is a folder; the hint suggests a file called `example` in it.
    """

    def __init__(
        self,
        html: Path,
        options: ReportOptions | None = None,
        progress: Progress | None = None,
        max_images: int | None = None,
        example: str = "report.html",
    ) -> None:
        if html.is_dir():
            raise UsageError(f"{html} is a folder", f"pass a file name: --html {html / example}")
        self.html, self.max_images = html, max_images
        self.options = options or ReportOptions()
        self.progress = progress or NoProgress()
        self.workspace = Workspace(self.options.workspace)
        self.notes = Notes(logger)
        self._thumbnail_store: ThumbnailStore | None = None

    def reload_dataset(self, record: RunRecord) -> Dataset | None:
        """Load the dataset of a run, or note that its pictures are missing.

        Raises:
            UserError: the dataset named in the options cannot be loaded.
        """
        try:
            return load_run_dataset(record, self.workspace, self.options.dataset, self.options.data)
        except UserError as error:
            if self.options.dataset:
                raise
            where = "pass their location with --dataset and --data"
            self.notes.add(f"the pictures of {record.dataset} were not found ({error}); {where}")
            return None

    def make_gallery(
        self, posts: Sequence[ReportPost], lookup: CacheLookup, comparison: AnswerComparison = VIEW_COMPARISON
    ) -> Gallery:
        """Make the gallery of posts; if the pictures are too many, the most telling posts get thumbnails."""
        ranked = sorted(posts, key=lambda p: judge_answers(p.answers, comparison.before, comparison.after)[1])
        images = [lookup.images.get(file) for item in ranked for file in item.post.files]
        thumbnails = self.make_thumbnails(image for image in images if image is not None)
        return make_gallery(posts, lookup, thumbnails, comparison)

    def make_thumbnails(self, images: Iterable[ImageRef]) -> Thumbnails:
        """Make thumbnails of the first `max_images` pictures where the options say; return them by picture key."""
        self.html.parent.mkdir(parents=True, exist_ok=True)
        distinct = list({image.key: image for image in images}.values())[: self.max_images]
        store = self._thumbnail_store = ThumbnailStore.open(self.options.pictures, len(distinct), self.html)
        return store.add(distinct, self.progress) if store else {}

    def write(self, title: str, gallery: Gallery, run: RunSection | None = None, about: str = "") -> Report:
        """Write the page; `about` precedes its notes.

        Raises:
            OSError: the page cannot be written.
        """
        store = self._thumbnail_store
        folder = store.folder if store else None
        notes = [about, *self.notes.lines] if about else self.notes.lines
        sources = EMBEDDED_IMAGES_AND_FOLDER if folder else EMBEDDED_IMAGES
        page = render_template(PAGE, sources, title=title, gallery=gallery, data=gallery, run=run, notes=notes)
        write_atomically(self.html, page)
        if store:
            store.remove_unused()
        return Report(self.html, folder, len(gallery.entries), gallery.what)


def load_run_dataset(
    record: RunRecord, workspace: Workspace, dataset: str | None = None, data: Path | None = None
) -> Dataset:
    """Load the dataset of a run from where it was in training, or from `dataset` and `data`.

    Raises:
        UserError: it cannot be loaded.
    """
    source = dataset or _resolve_path(record.source or record.dataset, workspace)
    folder = data or (Path(_resolve_path(record.folder, workspace)) if record.folder else None)
    return load_dataset(source, folder, workspace.data)


def _resolve_path(path: str, workspace: Workspace) -> str:
    """Resolve a path of the run's training, which most likely ran in the workspace."""
    in_workspace = workspace.root / path
    return str(in_workspace) if path and not Path(path).exists() and in_workspace.exists() else path
