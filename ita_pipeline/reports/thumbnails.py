"""Pictures small enough for a page: re-encoded, so that no byte of the original file reaches a browser."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.sources.decode import encode_thumbnail
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError
from stages.batching import batched

MAX_EMBEDDED = 300

BATCH_SIZE = 64

MAX_THREADS = 8

THUMBNAIL_NAME = re.compile(r"[0-9a-f]{64}\.jpg")

PROGRESS_NAME = "thumbnails"


class Pictures(StrEnum):
    """Where thumbnails go: into the page, into a folder beside it, either depending on their number, or nowhere."""

    AUTO = "auto"
    INSIDE = "inside"
    BESIDE = "beside"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The address of a thumbnail, or an empty one and the `problem` that prevented the thumbnail."""

    source: str
    problem: str = ""


Thumbnails = Mapping[str, Thumbnail]
"""Thumbnails by the keys of their pictures."""


class ThumbnailStore:
    """Storage for the thumbnails of a page: data URIs in the page or, given a folder, files in it.

    Files are named by the picture's content, never by its name, and reused by later pages.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._used: set[str] = set()
        if folder is not None:
            folder.mkdir(exist_ok=True)

    @classmethod
    def open(cls, choice: Pictures, count: int, page: Path) -> Self | None:
        """Return the store for a page with `count` pictures, or None if it shows no thumbnails."""
        if choice is Pictures.NONE or not count:
            return None
        if choice is Pictures.BESIDE or (choice is Pictures.AUTO and count > MAX_EMBEDDED):
            return cls(page.with_name(f"{page.stem}_pictures"))
        return cls()

    def add(self, images: Iterable[ImageRef], progress: Progress) -> dict[str, Thumbnail]:
        """Store one thumbnail for each distinct content; return them by picture key.

        Raises:
            Interrupted: `progress` asked to stop.
        """
        distinct = list({image.key: image for image in images}.values())
        thumbnails: dict[str, Thumbnail] = {}
        progress.start(PROGRESS_NAME, len(distinct))
        try:
            with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
                for batch in batched(distinct, BATCH_SIZE):
                    if progress.stop_requested:
                        raise Interrupted
                    keys = [image.key for image in batch]
                    thumbnails.update(zip(keys, pool.map(self._make_thumbnail, batch), strict=True))
                    progress.advance(PROGRESS_NAME, len(batch))
        finally:
            progress.finish()
        return thumbnails

    def remove_unused(self) -> None:
        """Remove the files that only an earlier page needed, once the new page is written."""
        for file in self.folder.iterdir() if self.folder is not None else ():
            if THUMBNAIL_NAME.fullmatch(file.name) and file.name not in self._used:
                file.unlink()

    def _make_thumbnail(self, image: ImageRef) -> Thumbnail:
        try:
            return Thumbnail(self._save(image))
        except BadItemError as error:
            return Thumbnail("", error.failure.reason)

    def _save(self, image: ImageRef) -> str:
        """Store the picture's thumbnail; return its address."""
        if self.folder is None:
            return "data:image/jpeg;base64," + base64.b64encode(encode_thumbnail(image)).decode()
        file = self.folder / f"{image.key}.jpg"
        if not file.is_file():
            partial_file = file.with_suffix(".making")
            partial_file.write_bytes(encode_thumbnail(image))
            partial_file.replace(file)
        self._used.add(file.name)
        return f"{quote(os.fsencode(self.folder.name))}/{file.name}"
