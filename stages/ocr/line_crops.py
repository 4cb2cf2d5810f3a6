"""Crops of single lines of text in the form that Tesseract reads best: dark letters on light, one height, a margin.

Each crop has two versions. `gray` has its surroundings; `wiped` is blank except for what looks like letters. White
captions on a photo are lost in the first, faint letters in the second. What both readings contain is seldom wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.ocr.schema import Box
from stages.ocr.text_regions import MIN_LETTERS, GrayImage, Numbers, resize_gray

HEIGHT = 36  # pixels of a line, without its margins

MARGINS = (0.35, 0.22)  # at the sides and above and below, in heights of the line

RIM = 10  # pixels around the crop

# Width of a line of the smallest readable letters in the largest image, in pixels.
MAX_WIDTH = 12_400

# Height of letters in heights of the line; lower spots are rules, higher ones are frames.
LETTER_HEIGHT = (0.4, 1.35)

MAX_ASPECT_RATIO = 4.0

# The letters of a line have one shade. A spot that differs by more, in distances from ink to threshold, is
# background that shows through.
MAX_SHADE_DISTANCE = 0.6

# A spot lower than this, in heights of the line, is a speck, unless it is over a letter, as dots and accents are.
SPECK_HEIGHT, ACCENT_DISTANCE = 0.25, 0.35

MIN_CONTRAST = 20  # gray levels between ink and paper, so that noise is not stretched to letters

# A restless background looks like single letters, hardly ever like three in a row.
MIN_RESTLESS_LETTERS = 3

# A line is leveled if it climbs by this share of its height from end to end, unless it is too steep to be a line.
MIN_CLIMB = 0.15

MAX_SLOPE = 0.4

MAX_FITTED_LETTERS = 60

# Mean difference in gray levels below which both versions look alike, as on a plain background.
MAX_PLAIN_DIFFERENCE = 20

SOFT_EDGE = 0.5  # how far beyond the threshold the ink fades out, in distances from ink to threshold


class LineImage(NamedTuple):
    """The pixels of a line at its standard height, and their origin.

    A line that climbs by `slope` was leveled by moving the image's columns, those left of `middle` in one direction
    and those right of it in the other.
    """

    image: GrayImage
    left: int
    top: int
    scale: float
    slope: float = 0.0
    middle: float = 0.0


@dataclass(frozen=True, slots=True)
class LineCrop:
    """A line of text in two versions; `line` has the origin of their pixels."""

    gray: GrayImage
    wiped: GrayImage
    line: LineImage

    @property
    def is_plain(self) -> bool:
        """Whether the background is plain, so that a second reading would give the same."""
        return float(np.abs(self.gray.astype(np.int16) - self.wiped).mean()) < MAX_PLAIN_DIFFERENCE

    def map_back(self, box: Box) -> Box:
        """Return a box of the crop in pixels of the image."""
        line = self.line
        x0, y0, x1, y1 = ((side - RIM) / line.scale for side in box)
        x0, x1 = x0 + line.left, x1 + line.left
        lower, higher = sorted(line.slope * (x - line.middle) for x in (x0, x1))
        return round(x0), round(y0 + line.top + lower), round(x1), round(y1 + line.top + higher)


class Ink(NamedTuple):
    """The part of a line that may be letters."""

    is_dark: bool  # darker than the paper
    threshold: float
    mask: NDArray[np.bool_]
    letters: Numbers  # (N, 5): left, top, width, height, area


def crop_line(gray: GrayImage, box: Box) -> LineCrop | None:
    """Return the line in `box`, leveled, or None if there are hardly any letters in it.

    Args:
        gray: The upright image (height, width).
        box: The line in pixels, xyxy.
    """
    import cv2

    line = _cut_level(gray, box)
    ink = _find_ink(line.image)
    slope = _estimate_slope(ink.letters)
    if abs(slope) * (box[2] - box[0]) > MIN_CLIMB * (box[3] - box[1]):
        leveled = _cut_sloping(gray, box, slope)
        leveled_ink = _find_ink(leveled.image)
        if len(leveled_ink.letters) >= len(ink.letters):
            line, ink = leveled, leveled_ink
    if len(ink.letters) < MIN_LETTERS:
        return None
    image, threshold = (line.image, ink.threshold) if ink.is_dark else (255 - line.image, 255 - ink.threshold)
    low, high = np.percentile(image, (2, 98))
    stretched = cv2.copyMakeBorder(_stretch(image, low, high), RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE)
    wiped = cv2.copyMakeBorder(_wipe(image, ink, threshold), RIM, RIM, RIM, RIM, cv2.BORDER_CONSTANT, value=(255,))
    crop = LineCrop(np.asarray(stretched, np.uint8), np.asarray(wiped, np.uint8), line)
    return crop if crop.is_plain or len(ink.letters) >= MIN_RESTLESS_LETTERS else None


def _cut_level(gray: GrayImage, box: Box) -> LineImage:
    x0, y0, x1, y1 = box
    beside, above = _compute_margins(y1 - y0)
    left, top = max(0, x0 - beside), max(0, y0 - above)
    return _scale(LineImage(gray[top : y1 + above, left : x1 + beside], left, top, 1.0), y1 - y0)


def _cut_sloping(gray: GrayImage, box: Box, slope: float) -> LineImage:
    """Cut a line that climbs, whose own height is less than that of its box."""
    import cv2

    x0, y0, x1, y1 = box
    height = max((y1 - y0) / 3, y1 - y0 - abs(slope) * (x1 - x0))
    beside, above = _compute_margins(height)
    left, top, middle = x0 - beside, round((y0 + y1 - height) / 2) - above, (x0 + x1) / 2
    size = (x1 - x0 + 2 * beside, round(height) + 2 * above)
    matrix = np.array([[1, 0, left], [slope, 1, top + slope * (left - middle)]], np.float64)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(gray, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return _scale(LineImage(np.asarray(image, np.uint8), left, top, 1.0, slope, middle), height)


def _compute_margins(height: float) -> tuple[int, int]:
    """Return the margins in pixels at the sides, and above and below, of a line of this height."""
    return max(2, round(MARGINS[0] * height)), max(2, round(MARGINS[1] * height))


def _scale(line: LineImage, height: float) -> LineImage:
    """Return an unscaled line, scaled so that `height` becomes `HEIGHT`."""
    rows, columns = line.image.shape
    scale = min(HEIGHT / height, MAX_WIDTH / columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return line._replace(image=resize_gray(line.image, size), scale=scale)


def _find_ink(image: GrayImage) -> Ink:
    """Return the dark or the bright side of Otsu's threshold, whichever has more that looks like letters."""
    import cv2

    threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
    sides = (_select_ink(image, threshold, dark) for dark in (True, False))
    return max(sides, key=lambda ink: ink.letters[:, 4].sum())


def _select_ink(image: GrayImage, threshold: float, is_dark: bool) -> Ink:
    """Return what is darker (or brighter) than the threshold, is not at the edge, and has the letters' shade."""
    import cv2

    mask = ((image <= threshold) if is_dark else (image > threshold)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    spots = stats.astype(np.int64)
    x, y, width, height, area = spots.T
    kept = (x > 0) & (y > 0) & (x + width < image.shape[1]) & (y + height < image.shape[0])
    kept[0] = False
    letters = kept & (height >= LETTER_HEIGHT[0] * HEIGHT) & (height <= LETTER_HEIGHT[1] * HEIGHT)
    letters &= width <= MAX_ASPECT_RATIO * height
    if np.count_nonzero(letters) >= MIN_RESTLESS_LETTERS:
        shades = np.bincount(labels.ravel(), image.ravel(), len(spots)) / area
        median = np.median(shades[letters])
        kept &= np.abs(shades - median) <= MAX_SHADE_DISTANCE * max(abs(threshold - median), MIN_CONTRAST / 2)
        letters &= kept
    kept &= ~_find_specks(spots, letters)
    return Ink(is_dark, threshold, kept[labels], spots[letters])


def _estimate_slope(letters: Numbers) -> float:
    """Return how much a line falls per pixel: the median over pairs of letters, by their heads and their feet."""
    letters = letters[:MAX_FITTED_LETTERS]
    if len(letters) < MIN_RESTLESS_LETTERS:
        return 0.0
    left, top, width, height, _ = letters.T
    a, b = np.triu_indices(len(letters), 1)
    distance = (left + width / 2)[b] - (left + width / 2)[a]
    is_apart = np.abs(distance) > HEIGHT / 2
    if not is_apart.any():
        return 0.0
    a, b, distance = a[is_apart], b[is_apart], distance[is_apart]
    slopes = np.concatenate([(side[b] - side[a]) / distance for side in (top, top + height)])
    slope = float(np.median(slopes))
    return slope if abs(slope) <= MAX_SLOPE else 0.0


def _find_specks(spots: Numbers, letters: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which spots (N, 5) are too low to be letters and are not over one of the `letters` (N,)."""
    x, y, width, height, _ = spots.T
    is_speck = height < SPECK_HEIGHT * HEIGHT
    left, top, right = x[letters], y[letters], (x + width)[letters]
    middle, foot = (x + width / 2)[is_speck, None], (y + height)[is_speck, None]
    is_accent = (middle >= left) & (middle <= right) & (foot <= top + 1) & (foot >= top - ACCENT_DISTANCE * HEIGHT)
    is_speck[is_speck] = ~is_accent.any(axis=1)
    return is_speck


def _wipe(image: GrayImage, ink: Ink, threshold: float) -> GrayImage:
    """Return dark letters with their soft edges on white."""
    import cv2

    is_ink = cv2.dilate(ink.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    low = float(np.percentile(image[is_ink], 5))
    wiped = _stretch(image, low, threshold + SOFT_EDGE * (threshold - low))
    wiped[~is_ink] = 255
    return wiped


def _stretch(image: GrayImage, low: float, high: float) -> GrayImage:
    span = max(high - low, MIN_CONTRAST)
    return np.clip((image.astype(np.float32) - low) * (255 / span), 0, 255).astype(np.uint8)
