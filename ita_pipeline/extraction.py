"""From a folder, or a list, of pictures to records: identify, plan, run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Failed, Plan, Wishes, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.datasets import POSTS_FILES
from ita_pipeline.engines import local
from ita_pipeline.engines.jobs import MEGABYTE, Hands, Limits
from ita_pipeline.engines.local import Progress, StageOutcome
from ita_pipeline.errors import UsageError
from ita_pipeline.images import Found, ImageRef, Unreadable, find, identify
from stages.base import Failure, Stage


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extraction did. `others` are files that are no pictures by their name."""

    images: tuple[ImageRef, ...]
    others: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]
    stages: tuple[StageOutcome, ...]

    @property
    def failed(self) -> tuple[Failed, ...]:
        """Each picture, by each of its paths, that some stage failed on, with the first reason."""
        first: dict[str, Failure] = {}
        for stage in self.stages:
            for failed in stage.failed:
                first.setdefault(failed.image.key, failed.failure)
        found = [Failed(image, first[image.key]) for image in self.images if image.key in first]
        return tuple(sorted(found, key=lambda failed: failed.image.path))

    @property
    def waiting(self) -> int:
        """Pictures that a limit left for another time."""
        return max((stage.waiting for stage in self.stages), default=0)

    @property
    def clean(self) -> bool:
        return not self.failed and not self.unreadable


def is_pictures(path: Path) -> bool:
    """Whether a folder holds pictures rather than a dataset of posts."""
    return path.is_dir() and not any((path / name).is_file() for name in POSTS_FILES)


def pictures_in(folder: Path) -> Found:
    """The pictures below a folder.

    Raises:
        UsageError: there is no such folder, it is a file, or there is no picture in it.
    """
    if not folder.exists():
        raise UsageError(f"there is no folder {folder}", "ita extract FOLDER, a folder with pictures")
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder of pictures", f"ita extract {folder.parent}")
    found = find(folder)
    if not found.pictures:
        others = f" ({len(found.others)} other files)" if found.others else ""
        raise UsageError(
            f"there is no picture in {folder}{others}",
            "pictures are files ending in .jpg .jpeg .png .webp .gif .bmp .tif .tiff",
        )
    return found


@dataclass(frozen=True, slots=True)
class PicturePlan:
    """Which stages have to look at which of these pictures, and why."""

    images: tuple[ImageRef, ...]
    others: tuple[Path, ...]
    unreadable: tuple[Unreadable, ...]
    plan: Plan

    @property
    def clean(self) -> bool:
        return self.plan.clean and not self.unreadable


def plan_pictures(
    paths: Sequence[Path],
    stages: Sequence[Stage[Any]],
    store: Store,
    wishes: Wishes | None = None,
    limits: Limits | None = None,
) -> PicturePlan:
    """What has to be done to bring every stage up to date for these pictures.

    Raises:
        StageError: a model or tool is missing.
        CorruptCacheError: the cache was damaged.
    """
    most = (limits or Limits()).megabytes * MEGABYTE
    identified = list(identify(paths, store.manifest, most))
    images = tuple(image for image in identified if isinstance(image, ImageRef))
    unreadable = tuple(image for image in identified if isinstance(image, Unreadable))
    return PicturePlan(images, (), unreadable, make_plan(stages, images, store, wishes))


def carry_out(todo: PicturePlan, store: Store, hands: Hands, progress: Progress) -> Extraction:
    """Do what a plan says, and nothing else.

    Raises:
        StageError: a model or tool is missing; what was computed before is kept.
        CorruptCacheError: the cache was damaged.
        Interrupted: whoever watches asked for it.
    """
    outcomes = local.run(todo.plan, store, hands, progress)
    return Extraction(todo.images, todo.others, todo.unreadable, outcomes)
