"""Pictures that mean no good, each by the name of its file, made anew every time."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def harmless(seed: int) -> dict[str, bytes]:
    """Odd pictures that can be read all the same."""
    chance = random.Random(seed)
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    rotated = noise.getexif()
    rotated[0x0112] = chance.randint(2, 8)
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", "x" * 10_000, zip=True)
    frames = [noise.rotate(turn) for turn in (90, 180)]
    ramp = Image.fromarray(np.linspace(0, 65535, 96 * 128, dtype=np.uint16).reshape(96, 128))
    palette = noise.convert("P")
    palette.info["transparency"] = chance.randrange(256)
    whole = encoded(noise.rotate(45), "PNG")
    return {
        "one_by_one.png": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
        "tall.png": encoded(Image.new("L", (1, 60_000), 255), "PNG"),
        "wide.png": encoded(Image.new("L", (60_000, 1), 255), "PNG"),
        "animated.gif": encoded(noise, "GIF", save_all=True, append_images=frames),
        "animated.webp": encoded(noise, "WEBP", save_all=True, append_images=frames),
        "cmyk.jpg": encoded(noise.convert("CMYK"), "JPEG"),
        "sixteen_bits.png": encoded(ramp, "PNG"),
        "palette_with_alpha.png": encoded(palette, "PNG", transparency=palette.info["transparency"]),
        "rgba.png": encoded(noise.convert("RGBA"), "PNG"),
        "one_bit.tif": encoded(noise.convert("1"), "TIFF"),
        "turned.jpg": encoded(noise, "JPEG", exif=rotated),
        "png_called.jpg": encoded(noise, "PNG"),
        "text_chunk.png": encoded(noise, "PNG", pnginfo=told),
        "text_bomb.png": whole[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 80_000_000, 9)) + whole[33:],
    }


def harmful(seed: int) -> dict[str, bytes]:
    """Files that cannot be read; the first byte after the signature is as good as any to lie about."""
    chance = random.Random(seed)
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (160, 160, 3), dtype=np.uint8))
    jpeg, whole = encoded(noise, "JPEG"), encoded(noise, "PNG")
    bomb = zlib.compress(b"\0" * 30_001 * 3_000, 9)
    found = {
        "bomb.png": png(30_000, 30_000, bomb),
        "huge_header.png": png(2**31 - 1, 2**31 - 1, b""),
        "no_data.png": png(100, 100, b""),
        "zero_bytes.jpg": b"",
        "zeros.png": b"\0" * 5000,
        "random.jpg": chance.randbytes(5000),
        "svg.jpg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
        "html.png": b"<html><script>alert(1)</script></html>",
        "lying.bmp": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 9999, 3999, 1, 24, 0, 0, 0, 0, 0, 0),
    }
    for quarter in (1, 2, 3):
        found[f"cut_{quarter}.jpg"] = jpeg[: len(jpeg) * quarter // 4]
        found[f"cut_{quarter}.png"] = whole[: len(whole) * quarter // 4]
    return found


def write_all(folder: Path, seed: int) -> tuple[set[str], set[str]]:
    """Fill a folder with everything; the names of what can be read and of what cannot."""
    folder.mkdir(parents=True)
    good, bad = harmless(seed), harmful(seed)
    for name, content in {**good, **bad}.items():
        (folder / name).write_bytes(content)
    odd = [b"new\nline.png", b"not \xff utf-8.png", b"-rf.png", b"$(touch x).png", b"\x1b[31mred.png"]
    for name in odd:
        (folder / os.fsdecode(name)).write_bytes(good["rgba.png"] + name)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "circle").symlink_to(".")
    (folder / "folder.jpg").mkdir()
    unreadable = folder / "unreadable.png"
    unreadable.write_bytes(good["rgba.png"] + b"locked")
    unreadable.chmod(0)
    lost = {"pipe.jpg", "loop.jpg", "dangling.png"}
    if os.geteuid():
        lost.add("unreadable.png")  # nothing is unreadable for root
    there = set(good) | {os.fsdecode(name) for name in odd} | ({"unreadable.png"} - lost)
    return there, set(bad) | lost
