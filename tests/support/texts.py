"""Pictures with text for the tests of the stage `ocr`."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.base import Item
from stages.ocr.schema import Box, OcrConfig, OcrValue
from stages.ocr.stage import OcrStage


def written(*lines: str, size: tuple[int, int] = (640, 240), at: int = 20) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        place = (at, 20 + 90 * number)
        ImageDraw.Draw(picture).text(place, line, "black", ImageFont.load_default(size=48))
    return picture


def item(picture: Image.Image, name: str = "a.png") -> Item:
    return Item(name, name, lambda: picture)


def read(picture: Image.Image, **settings: object) -> OcrValue:
    (value,) = OcrStage(OcrConfig(**settings)).run([item(picture)])
    assert isinstance(value, OcrValue)
    return value


def drawn(text: str, size: int, ink: int, paper: int, at: tuple[int, int] = (60, 40)) -> tuple[np.ndarray, Box]:
    """A grey picture with one line of text, and the box that its ink fills."""
    picture = Image.new("L", (900, 320), paper)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size)
    draw.text(at, text, ink, font)
    x0, y0, x1, y1 = draw.textbbox(at, text, font)
    return np.asarray(picture), (round(x0), round(y0), round(x1), round(y1))


def on_leaves(text: str, size: int = 48) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """White letters with a black outline on restless ground."""
    noise = np.random.default_rng(3).integers(40, 230, (20, 45), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((900, 400), Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    draw.text((80, 150), text, 255, font, stroke_width=4, stroke_fill=0)
    x0, y0, x1, y1 = draw.textbbox((80, 150), text, font)
    return np.asarray(picture), (round(x0), round(y0), round(x1), round(y1))
