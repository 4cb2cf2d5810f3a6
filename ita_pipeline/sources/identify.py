"""Find images in folders and identify them by content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ita_pipeline.core.iteration import batched
from ita_pipeline.sources.base import Looked, Place
from ita_pipeline.sources.decode import MOST_BYTES
from ita_pipeline.sources.download_cache import Spool
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, Stamped, Unreadable
from stages.base import BadItemError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

IDENTIFIED_AT_ONCE = 10_000

FETCHED_AT_ONCE, NOTED_AT_ONCE = 16, 256


@dataclass(frozen=True, slots=True)
class Found:
    """The pictures below a folder, in a stable order; the files that are none by their name; and folders that
    could not be entered.
    """

    pictures: tuple[Path, ...]
    others: tuple[Path, ...]
    closed: tuple[Unreadable, ...]


Outcome = tuple[Place, Looked] | Unreadable | None


class KnownFiles(Protocol):
    """What is remembered of files that were read before, so that they need not be read again.

    `cache.manifest.Manifest` implements it. Reading and writing never raise.
    """

    def get(self, paths: Sequence[bytes]) -> Mapping[bytes, Stamped]:
        """The stamp and the key of each of these files that is known, by its address."""
        ...

    def put(self, files: Iterable[Stamped]) -> None:
        """Remember these files."""
        ...

    def archive(self, address: bytes, stamp: str) -> str | None:
        """The contents of an archive, as `note_archive` took them, if its stamp is still this one."""
        ...

    def note_archive(self, address: bytes, stamp: str, contents: str) -> None:
        """Remember the contents of an archive."""
        ...


def find(folder: Path) -> Found:
    """Every file below `folder`, hidden ones left out; links to folders are not followed, so no loop can be."""
    pictures: list[Path] = []
    others: list[Path] = []
    closed: list[Unreadable] = []

    def tell(error: OSError) -> None:
        closed.append(Unreadable(LocalFile(Path(error.filename)), error.strerror or type(error).__name__))

    for directory, names, files in os.walk(folder, onerror=tell):
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = Path(directory)
        for name in sorted(files):
            if not name.startswith("."):
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a folder may hold a million of them)
                (pictures if suffix in SUFFIXES else others).append(here / name)
    return Found(tuple(pictures), tuple(others), tuple(closed))


def identify(
    places: Iterable[Place],
    known_files: KnownFiles,
    most_bytes: int = MOST_BYTES,
    spool: Spool | None = None,
    told: Callable[[int], None] | None = None,
) -> Iterator[ImageRef | Unreadable]:
    """The key of each picture, in order; a file whose stamp is known is not read again.

    Pictures that had to be fetched from elsewhere are kept in the `spool` for whoever looks at them next, and
    `told` hears how many more were fetched, now and then.
    """
    look = partial(look_at, most_bytes=most_bytes, spool=spool)
    near = min(8, (os.cpu_count() or 1) * 2)
    with ThreadPoolExecutor(near) as reading, ThreadPoolExecutor(FETCHED_AT_ONCE) as fetching:
        for some in batched(places, IDENTIFIED_AT_ONCE):
            yield from identified(some, known_files, lambda far: fetching if far else reading, look, told)


def identified(
    places: Sequence[Place],
    known_files: KnownFiles,
    pool: Callable[[bool], ThreadPoolExecutor],
    look: Callable[[Place, str], Outcome],
    told: Callable[[int], None] | None,
) -> list[ImageRef | Unreadable]:
    here = os.getcwd()  # noqa: PTH109
    names = [place.address(here) for place in places]
    known = known_files.get(names)
    found: list[ImageRef | Unreadable | None] = []
    for place, name in zip(places, names, strict=True):
        before = known.get(name)
        fits = before is not None and place.stamp() == before.stamp != ""
        found.append(ImageRef(before.key, place, before.before) if before and fits else None)
    unknown = [number for number, image in enumerate(found) if image is None]
    far = [number for number in unknown if places[number].far]
    near = [number for number in unknown if not places[number].far] if far else unknown
    for some in (near, *batched(far, NOTED_AT_ONCE)):  # what was fetched is noted soon: it was dear
        stamps = [known[names[number]].stamp if names[number] in known else "" for number in some]
        outcomes = pool(some is not near).map(look, [places[number] for number in some], stamps)
        fresh: list[Stamped] = []
        for number, outcome in zip(some, outcomes, strict=True):
            image = found[number] = as_found(outcome, places[number], known.get(names[number]))
            if isinstance(outcome, tuple) and isinstance(image, ImageRef):
                fresh.append(Stamped(names[number], outcome[1].stamp, image.key, image.before))
        known_files.put(fresh)
        if told is not None and some is not near:
            told(len(some))
    return [image for image in found if image is not None]


def as_found(outcome: Outcome, place: Place, earlier: Stamped | None) -> ImageRef | Unreadable:
    if isinstance(outcome, Unreadable):
        return outcome
    if outcome is None:
        assert earlier is not None
        return ImageRef(earlier.key, place, earlier.before)
    there, seen = outcome
    before = "" if earlier is None else earlier.key if earlier.key != seen.key else earlier.before
    return ImageRef(seen.key, there, before)


def look_at(place: Place, known: str, most_bytes: int, spool: Spool | None) -> Outcome:
    """A picture with its key, and with a copy of it where it was fetched; nothing where it stands as it did."""
    try:
        seen = place.look(most_bytes, known)
    except BadItemError as error:
        return Unreadable(place, error.failure.reason)
    if seen is None:
        return None
    if seen.content is None:
        return place, seen
    if spool is not None:
        place = spool.keep(place, seen.key, seen.content)
    return place, Looked(seen.stamp, seen.key)
