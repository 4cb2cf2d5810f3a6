"""Pictures: find them in folders, identify them by content wherever they lie, open them safely."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.groups import batched
from ita_pipeline.manifest import Manifest, Stamped
from ita_pipeline.places import LocalFile, Looked, Place, path_of
from ita_pipeline.spool import Spool
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_BYTES = 25 * 1024 * 1024
MOST_PIXELS = 40_000_000
IDENTIFIED_AT_ONCE = 10_000
FETCHED_AT_ONCE, NOTED_AT_ONCE = 16, 256


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that could not even be read, and why."""

    place: Place
    reason: str

    @property
    def label(self) -> str:
        return self.place.label

    @property
    def path(self) -> Path | None:
        """Its file, where it is one on this machine."""
        return path_of(self.place)


@dataclass(frozen=True, slots=True)
class Found:
    """The pictures below a folder, in a stable order; the files that are none by their name; and folders that
    could not be entered.
    """

    pictures: tuple[Path, ...]
    others: tuple[Path, ...]
    closed: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture: the sha256 of its bytes, one of the places where it lies, and the key that place had before."""

    key: str
    place: Place
    before: str = ""

    @property
    def label(self) -> str:
        return self.place.label

    @property
    def path(self) -> Path | None:
        """Its file, where it is one on this machine."""
        return path_of(self.place)

    @property
    def changed(self) -> tuple[str, ...]:
        """A picture is one thing, so there is nothing to name."""
        return ()

    @property
    def image(self) -> ImageRef:
        return self


Outcome = tuple[Place, Looked] | Unreadable | None


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
    manifest: Manifest,
    most_bytes: int = MOST_BYTES,
    spool: Spool | None = None,
    told: Callable[[int], None] | None = None,
) -> Iterator[ImageRef | Unreadable]:
    """The key of each picture, in order; what stands as the manifest knows it is not read again.

    Pictures that had to be fetched from elsewhere are kept in the `spool` for whoever looks at them next, and
    `told` hears how many more were fetched, now and then.
    """
    look = partial(look_at, most_bytes=most_bytes, spool=spool)
    near = min(8, (os.cpu_count() or 1) * 2)
    with ThreadPoolExecutor(near) as reading, ThreadPoolExecutor(FETCHED_AT_ONCE) as fetching:
        for some in batched(places, IDENTIFIED_AT_ONCE):
            yield from identified(some, manifest, lambda far: fetching if far else reading, look, told)


def identified(
    places: Sequence[Place],
    manifest: Manifest,
    pool: Callable[[bool], ThreadPoolExecutor],
    look: Callable[[Place, str], Outcome],
    told: Callable[[int], None] | None,
) -> list[ImageRef | Unreadable]:
    here = os.getcwd()  # noqa: PTH109
    names = [place.address(here) for place in places]
    known = manifest.get(names)
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
        manifest.put(fresh)
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
    if seen.content is not None and spool is not None:
        place = spool.keep(place, seen.key, seen.content)
    return place, Looked(seen.stamp, seen.key)


def open_picture(image: ImageRef, most_bytes: int = MOST_BYTES, most_pixels: int = MOST_PIXELS) -> Image:
    """The picture upright and in RGB; of an animation the first frame, transparency on white.

    Size and format are judged from the header, before anything is decoded.

    Raises:
        BadItemError: the file is too large, not a picture, damaged, or no longer the one that was identified.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    content = read(image, most_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata; the limits are checked below
            with Pillow.open(io.BytesIO(content), formats=FORMATS) as opened:
                if opened.width * opened.height > most_pixels:
                    raise BadItemError(
                        f"{opened.width}×{opened.height} is more than {most_pixels:,} pixels",
                        FailureKind.RESOURCE,
                    )
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                return on_white(upright)
    except UnidentifiedImageError as error:
        raise BadItemError("not a picture of a known format, whatever its name says") from error
    except Pillow.DecompressionBombError as error:
        raise BadItemError("too many pixels", FailureKind.RESOURCE) from error
    except MemoryError as error:
        raise BadItemError("not enough memory to decode it", FailureKind.RESOURCE) from error
    except BadItemError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise BadItemError(f"damaged picture: {' '.join(str(error).split())[:160]}") from error


def peek(path: Path, most_pixels: int = MOST_PIXELS) -> str:
    """Why a file is no picture as far as its header tells, or nothing. No pixel is decoded."""
    from PIL import Image as Pillow

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=FORMATS) as opened:
                too_many = opened.width * opened.height > most_pixels
                return f"{opened.width}×{opened.height} is more than {most_pixels:,} pixels" if too_many else ""
    except Pillow.DecompressionBombError:
        return "too many pixels"
    except Exception:  # decoders raise nearly anything on damaged data
        return "not a picture of a known format, whatever its name says"


def read(image: ImageRef, most_bytes: int) -> bytes:
    content = image.place.read(most_bytes)
    if hashlib.sha256(content).hexdigest() != image.key:
        raise BadItemError("changed while it was being worked on", FailureKind.TRANSIENT)
    return content


def on_white(picture: Image) -> Image:
    from PIL import Image as Pillow

    if picture.mode.startswith(("I", "F")):
        picture = stretched(picture)
    if "A" in picture.getbands() or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def stretched(picture: Image) -> Image:
    """A picture of 16 or 32 bits a pixel brought to 8, its own range spread over the whole."""
    import numpy as np
    from PIL import Image as Pillow

    values = np.asarray(picture, np.float64)
    low, high = values.min(), values.max()
    return Pillow.fromarray(((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
