"""Pictures and items for the tests of the stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from stages.base import BadItemError, Item, Value
from stages.objects import efficientnet
from stages.objects.schema import Attribute, Object, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage

HAS_EFFICIENTNET = find_spec(efficientnet.PACKAGE) is not None
needs_efficientnet = pytest.mark.skipif(not HAS_EFFICIENTNET, reason="extra `bundled` is not installed")

# The named colours of CSS, for brown "saddlebrown": none of them is a centre of the palette.
CSS = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 192, 203),
    "brown": (139, 69, 19),
}


def item_of(picture: Image.Image, upstream: Mapping[str, Value] | None = None) -> Item:
    return Item(key="0" * 64, name="picture.png", decode=lambda: picture, upstream=upstream or {})


def bad_item() -> Item:
    """An item whose file is no picture."""

    def decode() -> Image.Image:
        raise BadItemError("not a picture")

    return Item(key="1" * 64, name="bad.png", decode=decode)


def thing(label: str, score: float = 0.9, attribute: str | None = None) -> Object:
    """A detected object."""
    attributes = (Attribute(label=attribute, score=0.8),) if attribute else ()
    return Object(label=label, score=score, box=(0, 0, 9, 9), attributes=attributes)


def noise(width: int = 90, height: int = 60, seed: int = 0) -> Image.Image:
    """Blocks of random colours, 8 pixels wide, so that the picture is not uniform after it was made small."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width])


def plain(colour: tuple[int, int, int], width: int = 64, height: int = 64) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def stop_sign() -> Image.Image:
    """A street sign, its octagon within (190, 90, 450, 350) of 640x480."""
    picture = plain((135, 180, 225), 640, 480)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 380, 640, 480), fill=(90, 130, 60))
    draw.rectangle((312, 220, 328, 470), fill=(120, 120, 120))
    for radius, fill in ((130, "white"), (122, (190, 20, 30))):
        angles = [math.pi / 8 + step * math.pi / 4 for step in range(8)]
        draw.polygon(
            [(320 + radius * math.cos(angle), 220 + radius * math.sin(angle)) for angle in angles], fill=fill
        )
    font = ImageFont.load_default(94)
    draw.text((320, 220), "STOP", font=font, fill="white", anchor="mm", stroke_width=2)
    return picture


def clock() -> Image.Image:
    """A round clock without a hint of colour around it."""
    picture = plain((220, 210, 200), 200, 200)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 20, 180, 180), fill="white", outline="black", width=8)
    for hour in range(12):
        angle = hour * math.pi / 6
        place = (100 + 62 * math.sin(angle), 100 - 62 * math.cos(angle))
        draw.text(place, str(hour or 12), font=ImageFont.load_default(18), fill="black", anchor="mm")
    draw.line((100, 100, 100, 50), fill="black", width=4)
    draw.line((100, 100, 135, 120), fill="black", width=6)
    return picture


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


ODD = [plain((200, 30, 30), 1, 1), noise(3, 2000), noise(2000, 3), plain((0, 0, 0), 640, 480)]


def look(stage: ObjectsStage, *pictures: Image.Image) -> list[ObjectsValue]:
    values = stage.run([item_of(picture) for picture in pictures])
    found = [value for value in values if isinstance(value, ObjectsValue)]
    assert len(found) == len(pictures)
    return found


def check(value: ObjectsValue, config: ObjectsConfig) -> None:
    """What holds of every value: boxes within the picture, falling scores above the floor, no two alike."""
    scores = [thing.score for thing in value.objects]
    assert scores == sorted(scores, reverse=True)
    assert all(config.floor <= score <= 1 for score in scores)
    assert len(scores) <= config.most
    for index, thing in enumerate(value.objects):
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 <= x1 <= value.width
        assert 0 <= y0 <= y1 <= value.height
        for other in value.objects[:index]:
            limit = config.overlap_within if other.label == thing.label else config.overlap_across
            if min(x1 - x0, y1 - y0) > 10:  # boxes are rounded in the record
                assert overlap(np.array(thing.box), np.array(other.box)) <= limit + 0.02
