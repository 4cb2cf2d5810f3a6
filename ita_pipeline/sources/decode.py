"""Decode images safely: limits on size and format are checked before any pixel is decoded."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

MOST_BYTES = 25 * 1024 * 1024

MOST_PIXELS = 40_000_000


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
