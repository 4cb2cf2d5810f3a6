"""Decode images safely: limits on size and format are checked before any pixel is decoded."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ita_pipeline.core.files import open_regular, read_regular
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

MAX_BYTES = 25 * 1024 * 1024

THUMBNAIL_SIDE, THUMBNAIL_QUALITY = 480, 78

MAX_PIXELS = 40_000_000

BYTES_PER_PIXEL = 4  # Pillow pads RGB

_PNG = b"\x89PNG\r\n\x1a\n"

_ORIENTATION = 0x0112

_UNKNOWN_FORMAT = "not a picture in a supported format"


def open_image(image: ImageRef, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode an image, upright and in RGB: the first frame of an animation, transparency on white.

    Raises:
        BadItemError: the file is too large, damaged, not an image, or has changed since it was identified.
    """
    content = image.read(max_bytes)
    if hashlib.sha256(content).hexdigest() != image.key:
        raise BadItemError("changed while it was processed", FailureKind.TRANSIENT)
    try:
        return _decode(content, max_pixels)
    except MemoryError as error:
        raise BadItemError("not enough memory to decode it", FailureKind.RESOURCE) from error
    except BadItemError:
        raise
    except Exception as error:  # decoders raise anything on damaged data
        raise BadItemError(f"damaged picture: {' '.join(str(error).split())[:160]}") from error


def measure_image(image: ImageRef, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> int:
    """Return how many bytes an image takes once it is decoded, by its header; 0 if it will be refused."""
    try:
        with open_header(io.BytesIO(image.read(max_bytes)), max_pixels) as opened:
            return opened.width * opened.height * BYTES_PER_PIXEL
    except Exception:  # decoders raise anything on damaged data
        return 0


def _decode(content: bytes, max_pixels: int) -> Image:
    try:
        with open_header(io.BytesIO(content), max_pixels) as opened:
            opened.load()
            _turn_upright(opened)
            return _to_rgb(opened)
    except (BadItemError, MemoryError):
        raise
    except Exception:  # decoders raise anything on damaged data, also on metadata behind the pixels
        without_metadata = _drop_metadata(content)
        if without_metadata == content:
            raise
        return _decode(without_metadata, max_pixels)


def find_image_problem(file: Path | IO[bytes], max_pixels: int = MAX_PIXELS) -> str:
    """Return why a file is not a usable image, judged by its header; empty if it is one. No pixel is decoded."""
    try:
        with open_regular(file) if isinstance(file, Path) else file as opened, open_header(opened, max_pixels):
            return ""
    except BadItemError as error:
        return error.failure.reason
    except Exception:  # decoders raise anything on damaged data
        return _UNKNOWN_FORMAT


def measure_upright(file: Path) -> tuple[int, int] | None:
    """Return width and height of an image file once it is upright, by its header; None if it is not usable."""
    try:
        with open_regular(file) as opened, open_header(opened) as image:
            is_turned = image.getexif().get(_ORIENTATION, 1) in range(5, 9)
            return (image.height, image.width) if is_turned else (image.width, image.height)
    except Exception:  # decoders raise anything on damaged data
        return None


def encode_thumbnail(image: ImageRef) -> bytes:
    """Return the upright image as a JPEG without metadata, its longer side at most `THUMBNAIL_SIDE` pixels.

    Raises:
        BadItemError: the image cannot be read.
    """
    picture = open_image(image)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), reducing_gap=2.0)
    picture.info.clear()
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def copy_image(file: Path, to: Path) -> bool:
    """Copy an image file, and return whether it is one. What only has the name of an image is not copied.

    Raises:
        OSError: the copy cannot be written.
    """
    try:
        content = read_regular(file, MAX_BYTES)
    except OSError:
        return False
    if find_image_problem(io.BytesIO(content)):
        return False
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(content)
    return True


@contextmanager
def open_header(file: IO[bytes], max_pixels: int = MAX_PIXELS) -> Generator[Image]:
    """Open an image without decoding it. Metadata that cannot be read is left out.

    Raises:
        BadItemError: the format is unknown, or the image has too many pixels.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata, and large images, which are checked below
            try:
                image = Pillow.open(file, formats=FORMATS)
            except Pillow.DecompressionBombError:
                raise
            except Exception:  # decoders raise anything on damaged data
                file.seek(0)
                if file.read(len(_PNG)) != _PNG:
                    raise
                file.seek(0)
                image = Pillow.open(io.BytesIO(_drop_metadata(file.read(MAX_BYTES))), formats=FORMATS)
            with image as opened:
                if opened.width * opened.height > max_pixels:
                    size = f"{opened.width}×{opened.height}"
                    raise BadItemError(f"{size} exceeds the limit of {max_pixels:,} pixels", FailureKind.RESOURCE)
                yield opened
    except UnidentifiedImageError as error:
        raise BadItemError(_UNKNOWN_FORMAT) from error
    except Pillow.DecompressionBombError as error:
        raise BadItemError("too many pixels", FailureKind.RESOURCE) from error


def _drop_metadata(content: bytes) -> bytes:
    """Return a PNG without the chunks that concern neither its pixels nor its orientation. Others are unchanged.

    Checksums of chunks that Pillow can do without are computed again.
    """
    if not content.startswith(_PNG):
        return content
    kept, position = [_PNG], len(_PNG)
    while position + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + size
        if name[:1].isupper():  # chunks without which there are no pixels
            kept.append(content[position:end])
        elif name in (b"tRNS", b"eXIf"):
            body = content[position + 4 : end - 4]
            kept += [content[position : position + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        position = end
    return b"".join(kept)


def _turn_upright(image: Image) -> None:
    """Apply the orientation of EXIF or XMP in place, if it is readable."""
    from PIL import ImageOps

    try:
        image.getexif().get(_ORIENTATION)
    except Exception:  # readers raise anything on damaged data
        return
    for name in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)  # Pillow would write them again, and fail if another tag is malformed
    ImageOps.exif_transpose(image, in_place=True)


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
    """Convert an image of 16 or 32 bits a pixel to 8, with its range of finite values spread over all of them.

    An image of one value keeps its brightness, on the scale of the usual ones that holds it.
    """
    import numpy as np
    from PIL import Image as Pillow

    values = np.asarray(image)
    is_finite = np.isfinite(values)
    finite = values if is_finite.all() else values[is_finite]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:
        scales = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        low, high = 0.0, next((scale for scale in scales if high <= scale), high)
    scaled = np.empty(values.shape, np.uint8)
    some = 1 << 20  # not all at once, since each takes eight bytes here
    for start in range(0, values.size, some):
        part = (values.ravel()[start : start + some].astype(np.float64) - low) / (high - low)
        scaled.ravel()[start : start + some] = np.nan_to_num(part).clip(0, 1) * 255
    return Pillow.fromarray(scaled)
