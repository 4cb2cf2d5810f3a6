"""Pictures on disk: find them, identify them by content, open them safely."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.cache.stamps import settled, stamp
from ita_pipeline.groups import batched
from ita_pipeline.manifest import Manifest, Stamped
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_BYTES = 25 * 1024 * 1024
MOST_PIXELS = 40_000_000
IDENTIFIED_AT_ONCE = 10_000
MOST_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not even be read, and why."""

    path: Path
    reason: str


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
    path: Path
    before: str = ""

    @property
    def label(self) -> str:
        return str(self.path)

    @property
    def changed(self) -> tuple[str, ...]:
        """A picture is one thing, so there is nothing to name."""
        return ()

    @property
    def image(self) -> ImageRef:
        return self


def find(folder: Path) -> Found:
    """Every file below `folder`, hidden ones left out; links to folders are not followed, so no loop can be."""
    pictures: list[Path] = []
    others: list[Path] = []
    closed: list[Unreadable] = []

    def tell(error: OSError) -> None:
        closed.append(Unreadable(Path(error.filename), error.strerror or type(error).__name__))

    for directory, names, files in os.walk(folder, onerror=tell):
        names[:] = sorted(name for name in names if not name.startswith("."))
        here = Path(directory)
        for name in sorted(files):
            if not name.startswith("."):
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a folder may hold a million of them)
                (pictures if suffix in SUFFIXES else others).append(here / name)
    return Found(tuple(pictures), tuple(others), tuple(closed))


def identify(
    paths: Iterable[Path], manifest: Manifest, most_bytes: int = MOST_BYTES
) -> Iterator[ImageRef | Unreadable]:
    """The key of each picture, in order; a file that stands as the manifest knows it is not read again."""
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        for some in batched(paths, IDENTIFIED_AT_ONCE):
            yield from identified(some, manifest, pool, most_bytes)


def identified(
    paths: Sequence[Path], manifest: Manifest, pool: ThreadPoolExecutor, most_bytes: int
) -> list[ImageRef | Unreadable]:
    here = os.getcwd()  # noqa: PTH109
    texts = [str(path) for path in paths]
    names = [os.fsencode(text if text.startswith(os.sep) else f"{here}{os.sep}{text}") for text in texts]
    known = manifest.get(names)
    found: list[ImageRef | Unreadable | None] = []
    for path, name in zip(paths, names, strict=True):
        before = known.get(name)
        fits = before is not None and before.stamp == stamp_or_none(name)
        found.append(ImageRef(before.key, path, before.before) if before and fits else None)
    unknown = [number for number, image in enumerate(found) if image is None]
    hashed = pool.map(lambda number: read_key(paths[number], most_bytes), unknown)
    fresh: list[Stamped] = []
    for number, result in zip(unknown, hashed, strict=True):
        if isinstance(result, Unreadable):
            found[number] = result
            continue
        stamp, key = result
        earlier = known.get(names[number])
        before = "" if earlier is None else earlier.key if earlier.key != key else earlier.before
        found[number] = ImageRef(key, paths[number], before)
        fresh.append(Stamped(names[number], stamp, key, before))
    manifest.put(fresh)
    return [image for image in found if image is not None]


def read_key(path: Path, most_bytes: int) -> tuple[str, str] | Unreadable:
    """A file's stamp and the sha256 of its bytes. The stamp is empty while a change could still hide behind it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or device would block a reader
            return Unreadable(path, "not a regular file")
        if status.st_size > most_bytes:
            return Unreadable(path, f"{status.st_size:,} bytes are more than {most_bytes:,}")
        return (stamp(status) if settled(status) else ""), file_digest(path)
    except OSError as error:
        return Unreadable(path, error.strerror or type(error).__name__)


def stamp_or_none(name: bytes) -> str | None:
    try:
        return stamp(os.stat(name))  # noqa: PTH116
    except OSError:
        return None


def file_digest(path: Path) -> str:
    found = hashlib.sha256()
    # Not `hashlib.file_digest`, whose buffer costs a picture of 100 KB a sixth of the time.
    with path.open("rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        while part := opened.read(min(size + 1, MOST_READ_AT_ONCE)):
            found.update(part)
    return found.hexdigest()


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
    try:
        size = image.path.stat().st_size
        if size > most_bytes:
            raise BadItemError(f"{size:,} bytes are more than {most_bytes:,}", FailureKind.RESOURCE)
        content = image.path.read_bytes()
    except OSError as error:
        raise BadItemError(f"cannot be read: {error.strerror}", FailureKind.TRANSIENT) from error
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
