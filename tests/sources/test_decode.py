"""Tests of decoding: every file ends as pixels or as a reason, never as an exception of a decoder."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ita_pipeline.sources.decode import measure_image, open_image
from stages.base import BadItemError, FailureKind
from tests.support.fakes import draw, ref


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_exif_orientation_is_applied(tmp_path: Path):
    picture = Image.new("RGB", (40, 20), "white")
    exif = picture.getexif()
    exif[0x0112] = 6
    assert open_image(ref(save(tmp_path / "a.jpg", picture, exif=exif))).size == (20, 40)


@pytest.mark.parametrize(
    ("mode", "colour", "suffix"),
    [
        ("CMYK", (0, 0, 0, 0), "jpg"),
        ("L", 255, "png"),
        ("1", 1, "png"),
        ("I;16", 65535, "png"),
        ("RGBA", (9, 9, 9, 0), "png"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, colour: object, suffix: str):
    picture = Image.new(mode, (8, 8), colour)
    picture = open_image(ref(save(tmp_path / f"a.{suffix}", picture)))
    assert picture.mode == "RGB"


def test_transparency_becomes_white_in_a_palette_too(tmp_path: Path):
    palette = Image.new("P", (8, 8), 3)
    save(tmp_path / "a.gif", palette, transparency=3)
    assert open_image(ref(tmp_path / "a.gif")).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_keep_their_contrast(tmp_path: Path):
    ramp = Image.fromarray(np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8))
    pixels = np.asarray(open_image(ref(save(tmp_path / "a.png", ramp))))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(np.unique(pixels)) > 50


def test_an_animation_gives_its_first_frame(tmp_path: Path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert open_image(ref(tmp_path / "a.gif")).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"%!PS-Adobe-3.0 EPSF", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff"],
)
def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(BadItemError) as caught:
        open_image(ref(path))
    assert caught.value.failure.kind == FailureKind.PERMANENT


def test_a_bomb_is_refused_by_its_header(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(BadItemError, match="pixels") as caught:
        open_image(ref(path))
    assert caught.value.failure.kind == FailureKind.RESOURCE


def test_limits_of_bytes_and_pixels_are_exact(tmp_path: Path):
    path = draw(tmp_path / "a.png", size=(100, 100))
    with pytest.raises(BadItemError, match="pixels"):
        open_image(ref(path), max_pixels=9_999)
    with pytest.raises(BadItemError, match="bytes"):
        open_image(ref(path), max_bytes=10)
    assert open_image(ref(path), max_pixels=10_000).size == (100, 100)


@pytest.mark.parametrize("alpha", [False, True])
def test_transparency_is_laid_on_white_to_the_bit(tmp_path: Path, alpha: bool):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels) if alpha else Image.fromarray(pixels[..., :2])
    white = Image.new("RGBA", picture.size, "white")
    expected = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    assert open_image(ref(save(tmp_path / "a.png", picture))).tobytes() == expected.tobytes()


def test_the_size_of_a_decoded_image_is_known_from_its_header(tmp_path: Path):
    path = draw(tmp_path / "a.png", size=(300, 200))
    path.write_bytes(path.read_bytes()[:60])  # no pixel
    assert measure_image(ref(path)) == 300 * 200 * 4
    assert measure_image(ref(path), max_pixels=59_999) == 0
    path.write_bytes(b"no picture")
    assert measure_image(ref(path)) == 0


def seeds() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (24, 24, 3), dtype=np.uint8))
    found = []
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        buffer = io.BytesIO()
        noise.save(buffer, kind)
        found.append(buffer.getvalue())
    return found


SEEDS = seeds()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_image_is_decoded_or_refused_with_a_reason(seed: bytes, data: st.DataObject):
    content = bytearray(seed[: data.draw(st.integers(0, len(seed)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = Path("damaged.jpg")
    path.write_bytes(bytes(content))
    try:
        assert open_image(ref(path)).mode == "RGB"
    except BadItemError as bad:
        assert bad.failure.reason
