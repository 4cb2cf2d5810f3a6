"""Tests of decoding: every file ends as pixels or as a reason, never as an exception of a decoder."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ita_pipeline.sources.decode import find_image_problem, measure_image, measure_upright, open_image
from stages.base import BadItemError, FailureKind
from tests.support.fakes import draw, ref
from tests.support.hostile import chunk, encoded


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def decoded(content: bytes) -> Image.Image:
    """Write an image to a file, and decode it."""
    path = Path("picture")
    path.write_bytes(content)
    return open_image(ref(path))


def test_exif_orientation_is_applied(tmp_path: Path):
    picture = Image.new("RGB", (40, 20), "white")
    exif = picture.getexif()
    exif[0x0112] = 6
    assert open_image(ref(save(tmp_path / "a.jpg", picture, exif=exif))).size == (20, 40)
    assert measure_upright(tmp_path / "a.jpg") == (20, 40)


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


def tiff_tags(*entries: tuple[int, int, bytes]) -> bytes:
    """Metadata in the form of EXIF: tag, type and value of each entry. Long values are behind the entries."""
    start, values = 8 + 2 + 12 * len(entries) + 4, b""
    found = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, value in entries:
        at = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(values))
        values += value if len(value) > 4 else b""
        found += struct.pack("<HHI", tag, kind, len(value) if kind == 2 else 1) + at
    return found + b"\0\0\0\0" + values


TURNED = (0x0112, 3, struct.pack("<H", 6))

# Metadata that breaks rules, and whether its orientation is readable.
EXIF = {
    "a rational of -1/0": (tiff_tags(TURNED, (0x011A, 10, struct.pack("<ii", -1, 0))), True),
    "a resolution of text": (tiff_tags(TURNED, (0x011A, 2, b"300 dpi\0"), (0x011B, 2, b"x\0")), True),
    "a count that lies": (tiff_tags(TURNED, (0x011A, 5, struct.pack("<II", 72, 1)))[:-8], True),
    "no TIFF": (b"hello", False),
    "nothing": (b"", False),
    "an orientation of text": (tiff_tags((0x0112, 2, b"six\0")), False),
}


@pytest.mark.parametrize("name", EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_bad_exif_leaves_the_pixels_and_a_readable_orientation(name: str, kind: str):
    exif, is_turned = EXIF[name]
    image = Image.new("RGB", (40, 20), "red")
    if kind == "TIFF":
        content = encoded(image, kind, tiffinfo={0x0112: 6} if is_turned else {}, resolution=72)
        content = content.replace(struct.pack("<HHIII", 0x011A, 5, 1, 0, 0)[:8], struct.pack("<HHI", 0x011A, 10, 1))
    elif kind == "PNG":
        content = with_chunks(encoded(image, kind), chunk(b"eXIf", exif))
    else:
        content = encoded(image, kind, exif=b"Exif\0\0" + exif if kind == "JPEG" else exif)
    assert decoded(content).size == ((20, 40) if is_turned else (40, 20))


def bad_crc(kind: bytes, data: bytes) -> bytes:
    return chunk(kind, data)[:-4] + b"oops"


BOMB = zlib.compress(b"x" * 80_000_000, 9)

CHUNKS = {
    "zTXt": chunk(b"zTXt", b"a\0\0" + BOMB),
    "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "iCCP": chunk(b"iCCP", b"a\0\0" + BOMB),
    "much text": chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 1_000_000, 9)) * 70,
    "pHYs": bad_crc(b"pHYs", struct.pack(">IIB", 1, 1, 1)),
    "gAMA": chunk(b"gAMA", b"1"),
    "tEXt": bad_crc(b"tEXt", b"a\0b"),
    "private": bad_crc(b"prIv", b"a\0b"),
    "eXIf": bad_crc(b"eXIf", tiff_tags(TURNED)),
}


def with_chunks(png: bytes, chunks: bytes, after: bool = False) -> bytes:
    """Insert chunks before or after the pixels of a PNG."""
    at = len(png) - 12 if after else 33
    return png[:at] + chunks + png[at:]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", CHUNKS)
def test_bad_chunks_without_pixels_do_not_hinder_a_png(name: str, after: bool):
    image = Image.new("RGBA", (40, 20), (0, 0, 255, 255))
    content = with_chunks(encoded(image, "PNG"), CHUNKS[name], after)
    found = decoded(content)
    assert (found.size, found.getpixel((3, 3))) == ((20, 40) if name == "eXIf" else (40, 20), (0, 0, 255))


def test_transparency_is_kept_when_other_chunks_are_left_out():
    gray = encoded(Image.new("L", (8, 8), 3), "PNG", transparency=3)
    assert decoded(with_chunks(gray, CHUNKS["zTXt"])).getpixel((0, 0)) == (255, 255, 255)


def test_damaged_pixels_stay_damaged():
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (50, 50, 3), dtype=np.uint8))
    content = bytearray(with_chunks(encoded(noise, "PNG"), CHUNKS["zTXt"]))
    content[-500:-400] = b"\xff" * 100
    with pytest.raises(BadItemError, match="damaged picture"):
        decoded(bytes(content))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_not_finite_does_not_hide_the_others(odd: float):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, 1] = odd
    pixels = np.asarray(decoded(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert (pixels[0, 0], pixels[7, 7], pixels[0, 1]) == (0, 255, 255 if odd == np.inf else 0)
    assert len(np.unique(pixels)) > 50
    nothing = np.full((8, 8), odd, np.float32)
    assert decoded(encoded(Image.fromarray(nothing), "TIFF")).size == (8, 8)


@pytest.mark.parametrize(
    ("value", "kind", "gray"),
    [
        (0, np.uint16, 0),
        (32896, np.uint16, 128),
        (65535, np.uint16, 255),
        (0.5, np.float32, 127),
        (128, np.float32, 128),
        (-3, np.float32, 0),
        (1e9, np.float32, 255),
    ],
)
def test_an_image_of_one_value_keeps_its_brightness(value: float, kind: type[np.generic], gray: int):
    image = Image.fromarray(np.full((8, 8), value, kind))
    assert decoded(encoded(image, "TIFF")).getcolors() == [(64, (gray, gray, gray))]


def test_the_check_of_a_dataset_judges_by_the_same_rule(tmp_path: Path):
    path = tmp_path / "a.png"
    for chunks in CHUNKS.values():
        path.write_bytes(with_chunks(encoded(Image.new("RGB", (8, 8)), "PNG"), chunks))
        assert find_image_problem(path) == ""
        assert open_image(ref(path)).size == (8, 8)


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


def test_a_pipe_is_no_image_and_does_not_block():
    os.mkfifo("a.png")
    assert "not a picture" in find_image_problem(Path("a.png"))


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
