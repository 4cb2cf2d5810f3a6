"""A small painter for the example pictures: shapes with light, shadow, blur and noise on a canvas.

A canvas also records where it shows words and people, for the boxes of mentions.

Flat shapes alone are seldom recognised by a detector trained on photographs. What helps most is a side that
is lit and a side that is not, a background out of focus, and the grain of a sensor; all three live here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

Colour = tuple[int, int, int]
Fill = Colour | tuple[Colour, Colour]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Area = tuple[slice, slice]
Shape = Callable[[ImageDraw.ImageDraw, float], None]
Option = TypeVar("Option")

SCALE = 2
# Pixels of a finished picture: files stay small, and words are still read.
SIZE = (480, 360)
WHITE: Colour = (245, 245, 242)
BLACK: Colour = (24, 24, 28)


def ellipse(x0: float, y0: float, x1: float, y1: float) -> Shape:
    return lambda pen, scale: pen.ellipse([x0 * scale, y0 * scale, x1 * scale, y1 * scale], fill=255)


def disc(x: float, y: float, radius: float) -> Shape:
    return ellipse(x - radius, y - radius, x + radius, y + radius)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> Shape:
    box = [x0, y0, x1, y1]
    return lambda pen, scale: pen.rounded_rectangle([side * scale for side in box], radius * scale, fill=255)


def polygon(*points: Point) -> Shape:
    return lambda pen, scale: pen.polygon([(x * scale, y * scale) for x, y in points], fill=255)


def stroke(width: float, *points: Point) -> Shape:
    """A line with round ends and joints: limbs, handles, poles."""

    def draw(pen: ImageDraw.ImageDraw, scale: float) -> None:
        scaled = [(x * scale, y * scale) for x, y in points]
        pen.line(scaled, fill=255, width=round(width * scale), joint="curve")
        half = width * scale / 2
        for x, y in scaled:
            pen.ellipse([x - half, y - half, x + half, y + half], fill=255)

    return draw


def both(*shapes: Shape) -> Shape:
    """Several shapes as one, so that they are lit as one body."""

    def draw(pen: ImageDraw.ImageDraw, scale: float) -> None:
        for shape in shapes:
            shape(pen, scale)

    return draw


class Canvas:
    """Coordinates are those of a picture of 640 × 480; the work is done `SCALE` times larger.

    Half of the pictures, those with a seed, are mirrored, except for their words. `words` are the texts with their
    corners, and `people` the corners of people, both as they are seen.
    """

    def __init__(self, width: int = 640, height: int = 480, seed: int | None = None) -> None:
        self.width, self.height = width, height
        self.random = np.random.default_rng(seed or 0)
        self.is_mirrored = seed is not None and self.random.random() < 0.5
        self.pixels = np.zeros((height * SCALE, width * SCALE, 3), np.float32)
        self.words: list[tuple[str, np.ndarray]] = []
        self.people: list[np.ndarray] = []

    def near(self, value: float, spread: float) -> float:
        """A value up to `spread` away."""
        return value + float(self.random.uniform(-spread, spread))

    def pick(self, *options: Option) -> Option:
        """One of the options."""
        return options[int(self.random.integers(len(options)))]

    def seen(self, *points: Point) -> list[Point]:
        """The points as they are seen, mirrored or not."""
        return [(self.width - x, y) for x, y in points] if self.is_mirrored else list(points)

    def show_person(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Record where a person is."""
        self.people.append(np.float32(self.seen(*corners((x0, y0, x1, min(y1, self.height))))))

    def stencil(self, shape: Shape, margin: float = 0, is_mirrored: bool | None = None) -> tuple[np.ndarray, Area]:
        """The shape's mask, cut out with a margin, and its position: whole pictures would be slow."""
        image = Image.new("L", (self.width * SCALE, self.height * SCALE))
        shape(ImageDraw.Draw(image), SCALE)
        if self.is_mirrored if is_mirrored is None else is_mirrored:
            image = ImageOps.mirror(image)
        left, top, right, bottom = image.getbbox() or (0, 0, 1, 1)
        more = round(margin * SCALE) + 1
        box = (max(0, left - more), max(0, top - more))
        box += (min(image.width, right + more), min(image.height, bottom + more))
        mask = np.asarray(image.crop(box), np.float32) / 255
        return mask, (slice(box[1], box[3]), slice(box[0], box[2]))

    def paint(self, shape: Shape, fill: Fill, depth: float = 0, shade: float = 0.5, shadow: float = 0) -> None:
        """Fill a shape; `depth` is how far its rounded edge reaches inwards, `shadow` how far it falls."""
        if shadow:
            self.cast(shape, shadow)
        mask, area = self.stencil(shape, depth * 2)
        colour = gradient(mask, fill)
        if depth:
            colour = colour * relief(mask, depth * SCALE, shade)[..., None]
        self.blend(mask, area, colour)

    def blend(self, mask: np.ndarray, area: Area, colour: np.ndarray) -> None:
        part = self.pixels[area]
        part += mask[..., None] * (np.clip(colour, 0, 255) - part)

    def cast(self, shape: Shape, reach: float, strength: float = 0.45) -> None:
        """The soft shadow of a shape, falling to the lower right."""
        mask, area = self.stencil(shape, reach * 2)
        shift = round(reach * SCALE * 0.6)
        moved = np.roll(mask, (shift, shift // 2), (0, 1))
        moved[:shift] = 0
        self.pixels[area] *= 1 - strength * soften(moved, reach * SCALE * 0.5)[..., None]

    def glow(self, shape: Shape, colour: Colour, radius: float, strength: float = 0.6) -> None:
        """A light (or a shade) without an edge: lamps, bokeh, the dark under a car."""
        mask, area = self.stencil(shape, radius * 3)
        self.blend(soften(mask, radius * SCALE) * strength, area, np.float32(colour))

    def blur(self, radius: float) -> None:
        """Put everything painted so far out of focus."""
        self.pixels = soften(self.pixels, radius * SCALE)

    def texture(self, shape: Shape, strength: float, grain: float = 1.5) -> None:
        """Uneven brightness inside a shape: asphalt, grass, plaster, cloth."""
        mask, area = self.stencil(shape)
        noise = soften(self.random.normal(size=mask.shape).astype(np.float32), grain * SCALE)
        noise /= noise.std() + 1e-6
        self.pixels[area] *= 1 + (mask * noise * strength)[..., None]

    def write(self, text: str, box: Box, colour: Colour = BLACK, bold: float = 0.0) -> None:
        """Text as large as it fits, in the middle of the box."""
        font, size = fitted(text, box[2] - box[0], box[3] - box[1], bold)
        ((x, y),) = self.seen(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        where = (x * SCALE, y * SCALE)
        width = round(size * bold)

        def letters(pen: ImageDraw.ImageDraw, _: float) -> None:
            pen.text(where, text, 255, font, anchor="mm", stroke_width=width)

        mask, area = self.stencil(letters, is_mirrored=False)
        self.blend(mask, area, np.float32(colour))
        rows, columns = area
        extent = (columns.start, rows.start, columns.stop, rows.stop)
        self.words.append((text, np.float32(corners(extent)) / SCALE))

    def project(self, panel: Canvas, onto: Sequence[Point], shadow: float = 0) -> None:
        """Paste a canvas so that its corners (clockwise from the upper left) land on `onto`."""
        height, width = panel.pixels.shape[:2]
        source = np.float32(corners((0, 0, width, height)))
        turned_back = [onto[1], onto[0], onto[3], onto[2]] if self.is_mirrored else onto
        target = np.float32(self.seen(*turned_back)) * SCALE
        matrix = cv2.getPerspectiveTransform(source, target)
        size = (self.width * SCALE, self.height * SCALE)
        for text, place in panel.words:
            self.words.append((text, cv2.perspectiveTransform(place[None] * SCALE, matrix)[0] / SCALE))
        if shadow:
            self.cast(polygon(*onto), shadow)
        turned = cv2.warpPerspective(
            panel.pixels, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        mask, area = self.stencil(polygon(*onto))
        self.blend(mask, area, turned[area])

    def light(self, centre: Point, radius: float, dark: float) -> None:
        """Bright around `centre`, down to `dark` far from it."""
        rows, columns = np.mgrid[: self.height * SCALE, : self.width * SCALE].astype(np.float32) / SCALE
        ((x, y),) = self.seen(centre)
        far = ((columns - x) ** 2 + (rows - y) ** 2) / radius**2
        self.pixels *= (dark + (1 - dark) * np.exp(-far))[..., None]

    def develop(self, noise: float, focus: float = 0.35) -> Image.Image:
        """The finished picture, as a hand-held camera takes it, with sensor noise.

        It is turned a little, and enlarged so that no corner is empty. Words and people move with it.
        """
        centre = (self.near(self.width / 2, 6), self.near(self.height / 2, 5))
        turn = cv2.getRotationMatrix2D(centre, self.near(0, 1.6), 1.045).astype(np.float32)
        scale = SIZE[0] / self.width
        self.words = [(text, move(place, turn) * scale) for text, place in self.words]
        self.people = [move(place, turn) * scale for place in self.people]
        turn[:, 2] *= SCALE
        sharp = cv2.warpAffine(self.pixels, turn, self.pixels.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        small = cv2.resize(soften(sharp, focus * SCALE), SIZE, interpolation=cv2.INTER_AREA)
        small *= self.near(1, 0.08) * np.float32([self.near(1, 0.03), 1, self.near(1, 0.05)])
        grain = self.random.normal(0, noise, small.shape[:2])[..., None]
        return Image.fromarray(np.clip(small + grain, 0, 255).astype(np.uint8))


def corners(box: Box) -> list[Point]:
    """The corners of a box, clockwise from the upper left."""
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def move(place: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points after an affine transformation."""
    return place @ matrix[:, :2].T + matrix[:, 2]


def bounds(place: np.ndarray) -> list[int]:
    """The smallest box of whole pixels around corners, as far as it is in the picture: `[x0, y0, x1, y1]`."""
    low, high = np.clip(np.floor(place.min(axis=0)), 0, SIZE), np.clip(np.ceil(place.max(axis=0)), 0, SIZE)
    return [int(side) for side in (*low, *high)]


def soften(values: np.ndarray, radius: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), radius) if radius > 0.05 else values


def gradient(mask: np.ndarray, fill: Fill) -> np.ndarray:
    """One colour, or from the first at the top of the mask to the second at its bottom."""
    if isinstance(fill[0], int):
        return np.float32(fill)[None, None]
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = (rows[0], rows[-1]) if len(rows) else (0, 1)
    along = np.clip((np.arange(len(mask)) - top) / max(1, bottom - top), 0, 1)[:, None, None]
    first, second = np.float32(fill[0]), np.float32(fill[1])
    return (first + (second - first) * along).astype(np.float32)


def relief(mask: np.ndarray, depth: float, shade: float) -> np.ndarray:
    """Brightness of a body swollen from the mask and lit from the upper left."""
    height = soften(mask, depth)
    slope_y, slope_x = np.gradient(height)
    return (1 + shade * depth * (1.1 * slope_x + 1.5 * slope_y)).astype(np.float32)


def fitted(text: str, width: float, height: float, bold: float) -> tuple[ImageFont.FreeTypeFont, float]:
    """The font that travels inside Pillow, in the largest size that fits (in canvas pixels)."""
    probe = 100
    font = ImageFont.load_default(probe)
    left, top, right, bottom = font.getbbox(text, stroke_width=round(probe * bold))
    size = probe * SCALE * min(width / (right - left), height / (bottom - top))
    return ImageFont.load_default(size), size
