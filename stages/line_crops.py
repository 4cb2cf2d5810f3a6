"""Crops of single lines of text as Tesseract reads them best: letters dark on light, of one height, with a rim.

Each crop comes in two ways. `grey` has its surroundings, `wiped` is plain but for what looks like letters: white
captions on a photo are lost in the first, faint letters in the second. What both readings say is seldom wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.text_regions import FEWEST, Box, resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.text_regions import Grey

HEIGHT = 36  # pixels of a line, without its margins
MARGINS = (0.35, 0.22)  # beside and above, in heights of the line
RIM = 10
LONGEST = 2400
# Letters in heights of the line; flatter than wide they are rules, higher they are frames.
LETTER = (0.4, 1.35)
WIDEST = 4.0
SMALLEST_SPAN = 20  # between ink and paper, lest noise be stretched to letters
# Restless ground looks like letters here and there, hardly ever like three in a row.
FEWEST_RESTLESS = 3
# On plain ground both ways look alike: so many grey levels apart, of 255, on average.
ALIKE = 20
SOFT = 0.5  # how far beyond the threshold the ink fades out, in distances from ink to threshold


@dataclass(frozen=True, slots=True)
class LineCrop:
    """A line of text, twice; `back` leads from its pixels to those of the picture."""

    grey: Grey
    wiped: Grey
    left: int
    top: int
    scale: float

    @property
    def plain(self) -> bool:
        """Whether the line stands on plain ground, where a second reading would say the same."""
        return float(np.abs(self.grey.astype(np.int16) - self.wiped).mean()) < ALIKE

    def back(self, box: Box) -> Box:
        x0, y0, x1, y1 = (round((side - RIM) / self.scale) for side in box)
        return x0 + self.left, y0 + self.top, x1 + self.left, y1 + self.top


class Ink(NamedTuple):
    """What of a crop may be letters."""

    dark: bool  # darker than the paper
    threshold: float
    mask: NDArray[np.bool_]
    letters: int
    area: int


def cut(grey: Grey, box: Box) -> LineCrop | None:
    """The line in `box`, or nothing if there are hardly any letters in it.

    Args:
        grey: (height, width), the upright picture.
    """
    import cv2

    x0, y0, x1, y1 = box
    beside, above = (max(2, round(margin * (y1 - y0))) for margin in MARGINS)
    left, top = max(0, x0 - beside), max(0, y0 - above)
    part = grey[top : y1 + above, left : x1 + beside]
    scale = min(HEIGHT / (y1 - y0), LONGEST / part.shape[1])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    part = resized(part, size)
    threshold, _ = cv2.threshold(part, 0, 255, cv2.THRESH_OTSU)
    ink = max((ink_of(part, threshold, dark) for dark in (True, False)), key=lambda ink: ink.area)
    if ink.letters < FEWEST:
        return None
    if not ink.dark:
        part, threshold = 255 - part, 255 - threshold
    low, high = np.percentile(part, (2, 98))
    whole = cv2.copyMakeBorder(stretched(part, low, high), RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE)
    wiped = cv2.copyMakeBorder(wipe(part, ink, threshold), RIM, RIM, RIM, RIM, cv2.BORDER_CONSTANT, value=(255,))
    crop = LineCrop(np.asarray(whole, np.uint8), np.asarray(wiped, np.uint8), left, top, scale)
    return crop if crop.plain or ink.letters >= FEWEST_RESTLESS else None


def ink_of(part: Grey, threshold: float, dark: bool) -> Ink:
    """What is darker (or brighter) than the threshold and does not run out of the crop."""
    import cv2

    mask = ((part <= threshold) if dark else (part > threshold)).astype(np.uint8)
    _, names, spots, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    x, y, width, height, area = spots.T
    inside = (x > 0) & (y > 0) & (x + width < part.shape[1]) & (y + height < part.shape[0])
    inside[0] = False
    letters = inside & (height >= LETTER[0] * HEIGHT) & (height <= LETTER[1] * HEIGHT) & (width <= WIDEST * height)
    return Ink(dark, threshold, inside[names], int(letters.sum()), int(area[letters].sum()))


def wipe(part: Grey, ink: Ink, threshold: float) -> Grey:
    """Dark letters on white and nothing else, with their soft edges."""
    import cv2

    near = cv2.dilate(ink.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    low = float(np.percentile(part[near], 5))
    wiped = stretched(part, low, threshold + SOFT * (threshold - low))
    wiped[~near] = 255
    return wiped


def stretched(part: Grey, low: float, high: float) -> Grey:
    span = max(high - low, SMALLEST_SPAN)
    return np.clip((part.astype(np.float32) - low) * (255 / span), 0, 255).astype(np.uint8)
