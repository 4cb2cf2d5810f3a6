"""Decode images safely: limits on size and format are checked before any pixel is decoded."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

MAX_BYTES = 25 * 1024 * 1024

MAX_PIXELS = 40_000_000

BYTES_PER_PIXEL = 4  # Pillow pads RGB

_UNKNOWN_FORMAT = "not a picture of a known format, whatever its name says"


def open_image(image: ImageRef, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode an image, upright and in RGB: the first frame of an animation, transparency on white.

    Raises:
        BadItemError: the file is too large, damaged, not an image, or has changed since it was identified.
    """
    from PIL import ImageOps

    content = image.read(max_bytes)
    if hashlib.sha256(content).hexdigest() != image.key:
        raise BadItemError("changed while it was being worked on", FailureKind.TRANSIENT)
    try:
        with _open_header(io.BytesIO(content), max_pixels) as opened:
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            return _to_rgb(opened)
    except MemoryError as error:
        raise BadItemError("not enough memory to decode it", FailureKind.RESOURCE) from error
    except BadItemError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise BadItemError(f"damaged picture: {' '.join(str(error).split())[:160]}") from error


def measure_image(image: ImageRef, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> int:
    """Return how many bytes an image takes once it is decoded, by its header; 0 if it will be refused."""
    try:
        with _open_header(io.BytesIO(image.read(max_bytes)), max_pixels) as opened:
            return opened.width * opened.height * BYTES_PER_PIXEL
    except Exception:  # decoders raise anything on damaged data
        return 0


def find_image_problem(file: Path | IO[bytes], max_pixels: int = MAX_PIXELS) -> str:
    """Return why a file is not a usable image, judged by its header; empty if it is one. No pixel is decoded."""
    try:
        with _open_header(file, max_pixels):
            return ""
    except BadItemError as error:
        return error.failure.reason
    except Exception:  # decoders raise anything on damaged data
        return _UNKNOWN_FORMAT


@contextmanager
def _open_header(file: Path | IO[bytes], max_pixels: int) -> Generator[Image]:
    """Open an image without decoding it.

    Raises:
        BadItemError: the format is unknown, or the image has too many pixels.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, and large images, which are checked below
            with Pillow.open(file, formats=FORMATS) as opened:
                if opened.width * opened.height > max_pixels:
                    size = f"{opened.width}×{opened.height}"
                    raise BadItemError(f"{size} is more than {max_pixels:,} pixels", FailureKind.RESOURCE)
                yield opened
    except UnidentifiedImageError as error:
        raise BadItemError(_UNKNOWN_FORMAT) from error
    except Pillow.DecompressionBombError as error:
        raise BadItemError("too many pixels", FailureKind.RESOURCE) from error


def _to_rgb(image: Image) -> Image:
    """Convert an image with at most one copy of its pixels beside the result: large ones take 160 MB each."""
    from PIL import Image as Pillow

    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Pillow.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _to_8_bits(image: Image) -> Image:
    """Convert an image of 16 or 32 bits a pixel to 8, with its range of values spread over all of them."""
    import numpy as np
    from PIL import Image as Pillow

    values = np.asarray(image)
    low, high = np.float64(values.min()), np.float64(values.max())
    scaled = np.empty(values.shape, np.uint8)
    some = 1 << 20  # not all at once, since each takes eight bytes here
    for start in range(0, values.size, some):
        part = values.ravel()[start : start + some].astype(np.float64)
        scaled.ravel()[start : start + some] = (part - low) / max(high - low, 1e-9) * 255
    return Pillow.fromarray(scaled)
