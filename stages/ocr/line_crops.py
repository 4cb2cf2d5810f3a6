"""Crops of single lines of text as Tesseract reads them best: letters dark on light, of one height, with a rim.

Each crop comes in two ways. `grey` has its surroundings, `wiped` is plain but for what looks like letters: white
captions on a photo are lost in the first, faint letters in the second. What both readings say is seldom wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.ocr.text_regions import FEWEST, Box, resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.ocr.text_regions import Grey


HEIGHT = 36  # pixels of a line, without its margins

MARGINS = (0.35, 0.22)  # beside and above, in heights of the line

RIM = 10

# Lines of the largest picture that is read, in letters so small that they can still be read.
LONGEST = 12_400

# Letters in heights of the line; flatter than wide they are rules, higher they are frames.
LETTER = (0.4, 1.35)

WIDEST = 4.0

# Letters of a line have one shade: one that is further from theirs, in distances from ink to threshold, is part of
# the ground that shines through.
SHADE = 0.6

# What is lower than this, in heights of the line, is a speck, unless it hangs over a letter as dots and accents do.
SPECK, OVER = 0.25, 0.35

SMALLEST_SPAN = 20  # between ink and paper, lest noise be stretched to letters

# Restless ground looks like letters here and there, hardly ever like three in a row.
FEWEST_RESTLESS = 3

# A line is levelled if it climbs by this much of its height from end to end, unless it is too steep to be one.
UNEVEN = 0.15

STEEPEST = 0.4

MOST_FITTED = 60

# On plain ground both ways look alike: so many grey levels apart, of 255, on average.
ALIKE = 20

SOFT = 0.5  # how far beyond the threshold the ink fades out, in distances from ink to threshold


@dataclass(frozen=True, slots=True)
class LineCrop:
    """A line of text, twice; `back` leads from its pixels to those of the picture."""

    grey: Grey
    wiped: Grey
    part: Part

    @property
    def plain(self) -> bool:
        """Whether the line stands on plain ground, where a second reading would say the same."""
        return float(np.abs(self.grey.astype(np.int16) - self.wiped).mean()) < ALIKE

    def back(self, box: Box) -> Box:
        part = self.part
        x0, y0, x1, y1 = ((side - RIM) / part.scale for side in box)
        x0, x1 = x0 + part.left, x1 + part.left
        lower, higher = sorted(part.slope * (x - part.middle) for x in (x0, x1))
        return round(x0), round(y0 + part.top + lower), round(x1), round(y1 + part.top + higher)


class Part(NamedTuple):
    """Pixels of a line at its usual height, and where they are from: columns of the picture were moved, so that a
    line which climbs by `slope` became level, those left of `middle` the one way and those right of it the other.
    """

    image: Grey
    left: int
    top: int
    scale: float
    slope: float = 0.0
    middle: float = 0.0


class Ink(NamedTuple):
    """What of a part may be letters."""

    dark: bool  # darker than the paper
    threshold: float
    mask: NDArray[np.bool_]
    letters: NDArray[np.int64]  # (N, 5): left, top, width, height, area

    @property
    def area(self) -> int:
        return int(self.letters[:, 4].sum())


def cut(grey: Grey, box: Box) -> LineCrop | None:
    """The line in `box`, made level, or nothing if there are hardly any letters in it.

    Args:
        grey: (height, width), the upright picture.
    """
    import cv2

    part = level_part(grey, box)
    ink = ink_in(part.image)
    slope = slope_of(ink.letters)
    if abs(slope) * (box[2] - box[0]) > UNEVEN * (box[3] - box[1]):
        levelled = sloping_part(grey, box, slope)
        clearer = ink_in(levelled.image)
        if len(clearer.letters) >= len(ink.letters):
            part, ink = levelled, clearer
    if len(ink.letters) < FEWEST:
        return None
    image, threshold = (part.image, ink.threshold) if ink.dark else (255 - part.image, 255 - ink.threshold)
    low, high = np.percentile(image, (2, 98))
    whole = cv2.copyMakeBorder(stretched(image, low, high), RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE)
    wiped = cv2.copyMakeBorder(wipe(image, ink, threshold), RIM, RIM, RIM, RIM, cv2.BORDER_CONSTANT, value=(255,))
    crop = LineCrop(np.asarray(whole, np.uint8), np.asarray(wiped, np.uint8), part)
    return crop if crop.plain or len(ink.letters) >= FEWEST_RESTLESS else None


def level_part(grey: Grey, box: Box) -> Part:
    x0, y0, x1, y1 = box
    beside, above = margins(y1 - y0)
    left, top = max(0, x0 - beside), max(0, y0 - above)
    return scaled(Part(grey[top : y1 + above, left : x1 + beside], left, top, 1.0), y1 - y0)


def sloping_part(grey: Grey, box: Box, slope: float) -> Part:
    """The same of a line that climbs: its own height is less than that of its box."""
    import cv2

    x0, y0, x1, y1 = box
    height = max((y1 - y0) / 3, y1 - y0 - abs(slope) * (x1 - x0))
    beside, above = margins(height)
    left, top, middle = x0 - beside, round((y0 + y1 - height) / 2) - above, (x0 + x1) / 2
    size = (x1 - x0 + 2 * beside, round(height) + 2 * above)
    moves = np.array([[1, 0, left], [slope, 1, top + slope * (left - middle)]], np.float64)
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(grey, moves, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return scaled(Part(np.asarray(image, np.uint8), left, top, 1.0, slope, middle), height)


def margins(height: float) -> tuple[int, int]:
    """Beside and above a line of this height."""
    return max(2, round(MARGINS[0] * height)), max(2, round(MARGINS[1] * height))


def scaled(part: Part, height: float) -> Part:
    """A part at its own size, made so large that a line of `height` becomes `HEIGHT` high."""
    rows, columns = part.image.shape
    scale = min(HEIGHT / height, LONGEST / columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return part._replace(image=resized(part.image, size), scale=scale)


def ink_in(image: Grey) -> Ink:
    """The dark or the bright side of Otsu's threshold, whichever has more in it that looks like letters."""
    import cv2

    threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
    return max((ink_of(image, threshold, dark) for dark in (True, False)), key=lambda ink: ink.area)


def slope_of(letters: NDArray[np.int64]) -> float:
    """How much a line climbs down by the pixel: the median over pairs of letters, by their heads and their feet."""
    letters = letters[:MOST_FITTED]
    if len(letters) < FEWEST_RESTLESS:
        return 0.0
    left, top, width, height, _ = letters.T
    a, b = np.triu_indices(len(letters), 1)
    across = (left + width / 2)[b] - (left + width / 2)[a]
    apart = np.abs(across) > HEIGHT / 2
    if not apart.any():
        return 0.0
    a, b, across = a[apart], b[apart], across[apart]
    slopes = np.concatenate([(side[b] - side[a]) / across for side in (top, top + height)])
    slope = float(np.median(slopes))
    return slope if abs(slope) <= STEEPEST else 0.0


def ink_of(image: Grey, threshold: float, dark: bool) -> Ink:
    """What is darker (or brighter) than the threshold, and neither runs out of the part nor shines through."""
    import cv2

    mask = ((image <= threshold) if dark else (image > threshold)).astype(np.uint8)
    _, names, found, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    spots = found.astype(np.int64)
    x, y, width, height, area = spots.T
    kept = (x > 0) & (y > 0) & (x + width < image.shape[1]) & (y + height < image.shape[0])
    kept[0] = False
    letters = kept & (height >= LETTER[0] * HEIGHT) & (height <= LETTER[1] * HEIGHT) & (width <= WIDEST * height)
    if np.count_nonzero(letters) >= FEWEST_RESTLESS:
        shades = np.bincount(names.ravel(), image.ravel(), len(spots)) / area
        usual = np.median(shades[letters])
        kept &= np.abs(shades - usual) <= SHADE * max(abs(threshold - usual), SMALLEST_SPAN / 2)
        letters &= kept
    kept &= ~specks(spots, letters)
    return Ink(dark, threshold, kept[names], spots[letters])


def specks(spots: NDArray[np.int64], letters: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which spots (N, 5) are too low to be letters, and hang over none of the `letters` (N,)."""
    x, y, width, height, _ = spots.T
    low = height < SPECK * HEIGHT
    left, top, right = x[letters], y[letters], (x + width)[letters]
    middle, foot = (x + width / 2)[low, None], (y + height)[low, None]
    over = (middle >= left) & (middle <= right) & (foot <= top + 1) & (foot >= top - OVER * HEIGHT)
    low[low] = ~over.any(axis=1)
    return low


def wipe(image: Grey, ink: Ink, threshold: float) -> Grey:
    """Dark letters on white and nothing else, with their soft edges."""
    import cv2

    near = cv2.dilate(ink.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    low = float(np.percentile(image[near], 5))
    wiped = stretched(image, low, threshold + SOFT * (threshold - low))
    wiped[~near] = 255
    return wiped


def stretched(image: Grey, low: float, high: float) -> Grey:
    span = max(high - low, SMALLEST_SPAN)
    return np.clip((image.astype(np.float32) - low) * (255 / span), 0, 255).astype(np.uint8)
