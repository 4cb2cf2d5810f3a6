"""Pictures small enough for a page: re-encoded, so that nothing of the file itself reaches a browser."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from ita_pipeline.core.progress import Progress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.sources.decode import open_image
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError

SIDE = 480

QUALITY = 78

MOST_INSIDE = 300

AT_ONCE = 64

OURS = re.compile(r"[0-9a-f]{64}\.jpg")


class Pictures(StrEnum):
    """Where thumbnails go: into the page, into a folder beside it, either by their number, or nowhere."""

    AUTO = "auto"
    INSIDE = "inside"
    BESIDE = "beside"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """What a page shows of a picture; `source` is empty where it could not be opened, for the `problem` told."""

    source: str
    problem: str = ""


class Album(Protocol):
    """A place for thumbnails; `folder` is where they lie, unless that is in the page."""

    @property
    def folder(self) -> Path | None: ...

    def add(self, image: ImageRef) -> str:
        """The address of the picture's thumbnail.

        Raises:
            BadItemError: the file is not a picture that can be opened within the limits.
        """
        ...

    def tidy(self) -> None:
        """Remove what an earlier page needed, once the new one is written."""
        ...


class Nowhere:
    """No thumbnails."""

    folder = None

    def add(self, image: ImageRef) -> str:
        return ""

    def tidy(self) -> None: ...


class Inside:
    """Thumbnails as data URIs, inside the page."""

    folder = None

    def add(self, image: ImageRef) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(small_jpeg(image)).decode()

    def tidy(self) -> None: ...


class Beside:
    """Thumbnails in a folder beside the page, named by the picture's content, never by its own name.

    One that is there already is used again; those of an earlier page that this one does not show are removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self.place = folder
        self.address = quote(os.fsencode(folder.name))
        self.used: set[str] = set()
        folder.mkdir(exist_ok=True)

    def add(self, image: ImageRef) -> str:
        name = f"{image.key}.jpg"
        file = self.place / name
        if not file.is_file():
            making = file.with_suffix(".making")
            making.write_bytes(small_jpeg(image))
            making.replace(file)
        self.used.add(name)
        return f"{self.address}/{name}"

    def tidy(self) -> None:
        for file in self.place.iterdir():
            if OURS.fullmatch(file.name) and file.name not in self.used:
                file.unlink()


def album_for(wish: Pictures, count: int, page: Path) -> Album:
    """The album of a page that shows so many pictures."""
    if wish is Pictures.NONE or not count:
        return Nowhere()
    if wish is Pictures.BESIDE or (wish is Pictures.AUTO and count > MOST_INSIDE):
        return Beside(page.with_name(f"{page.stem}_pictures"))
    return Inside()


def small_jpeg(image: ImageRef) -> bytes:
    """The picture upright, its longer side at most `SIDE` pixels; nothing of its metadata is kept."""
    picture = open_image(image)
    picture.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    picture.info.clear()
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


THUMBNAILS = "thumbnails"


def make_thumbnails(images: Iterable[ImageRef], album: Album, progress: Progress) -> dict[str, Thumbnail]:
    """Thumbnails by picture key, each content once.

    Raises:
        Interrupted: whoever watches asked for it.
    """
    distinct = list({image.key: image for image in images}.values())
    found: dict[str, Thumbnail] = {}
    if distinct:
        progress.start(THUMBNAILS, len(distinct))
        try:
            for key, thumbnail in in_turn(distinct, lambda image: made(image, album), progress):
                found[key] = thumbnail
        finally:
            progress.finish()
    return found


def in_turn(
    images: Sequence[ImageRef], work: Callable[[ImageRef], Thumbnail], progress: Progress
) -> Iterator[tuple[str, Thumbnail]]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        rest = iter(images)
        while some := list(islice(rest, AT_ONCE)):
            if progress.stop_requested:
                raise Interrupted
            yield from zip([image.key for image in some], pool.map(work, some), strict=True)
            progress.advance(THUMBNAILS, len(some))


def made(image: ImageRef, album: Album) -> Thumbnail:
    try:
        return Thumbnail(album.add(image))
    except BadItemError as bad:
        return Thumbnail("", bad.failure.reason)
