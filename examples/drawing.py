"""A small painter for the example pictures: shapes with light, shadow, blur and noise on a canvas.

Flat shapes alone are seldom recognised by a detector trained on photographs. What helps most is a side that
is lit and a side that is not, a background out of focus, and the grain of a sensor; all three live here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Fill = Colour | tuple[Colour, Colour]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Area = tuple[slice, slice]
Shape = Callable[[ImageDraw.ImageDraw, float], None]

SCALE = 2
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
    """Coordinates are pixels of the finished picture; the work is done `SCALE` times larger."""

    def __init__(self, width: int = 640, height: int = 480, seed: int = 0) -> None:
        self.width, self.height = width, height
        self.random = np.random.default_rng(seed)
        self.pixels = np.zeros((height * SCALE, width * SCALE, 3), np.float32)

    def stencil(self, shape: Shape, margin: float = 0) -> tuple[np.ndarray, Area]:
        """The shape's mask, cut out with a margin, and its position: whole pictures would be slow."""
        image = Image.new("L", (self.width * SCALE, self.height * SCALE))
        shape(ImageDraw.Draw(image), SCALE)
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
        where = ((box[0] + box[2]) / 2 * SCALE, (box[1] + box[3]) / 2 * SCALE)
        width = round(size * bold)

        def letters(pen: ImageDraw.ImageDraw, _: float) -> None:
            pen.text(where, text, 255, font, anchor="mm", stroke_width=width)

        self.paint(letters, colour)

    def project(self, panel: Canvas, corners: Sequence[Point], shadow: float = 0) -> None:
        """Paste a canvas so that its corners (clockwise from the upper left) land on `corners`."""
        height, width = panel.pixels.shape[:2]
        source = np.float32([(0, 0), (width, 0), (width, height), (0, height)])
        target = np.float32([(x * SCALE, y * SCALE) for x, y in corners])
        matrix = cv2.getPerspectiveTransform(source, target)
        size = (self.width * SCALE, self.height * SCALE)
        if shadow:
            self.cast(polygon(*corners), shadow)
        turned = cv2.warpPerspective(
            panel.pixels, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        mask, area = self.stencil(polygon(*corners))
        self.blend(mask, area, turned[area])

    def light(self, centre: Point, radius: float, dark: float) -> None:
        """Bright around `centre`, down to `dark` far from it."""
        rows, columns = np.mgrid[: self.height * SCALE, : self.width * SCALE].astype(np.float32) / SCALE
        far = ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / radius**2
        self.pixels *= (dark + (1 - dark) * np.exp(-far))[..., None]

    def develop(self, noise: float = 3.0, focus: float = 0.35) -> Image.Image:
        """The finished picture: reduced, a little softened, with sensor noise."""
        size = (self.width, self.height)
        small = cv2.resize(soften(self.pixels, focus * SCALE), size, interpolation=cv2.INTER_AREA)
        grain = self.random.normal(0, noise, small.shape[:2])[..., None]
        grain = grain + self.random.normal(0, noise / 3, small.shape)
        return Image.fromarray(np.clip(small + grain, 0, 255).astype(np.uint8))


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
