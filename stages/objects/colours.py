"""The colour of a thing, said only where one colour clearly dominates."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


# sRGB centres of the eleven basic colour terms (Berlin and Kay 1969), several for those that vary in lightness.
PALETTE = {
    "black": [(15, 15, 15), (35, 35, 35)],
    "grey": [(90, 90, 90), (130, 130, 130), (170, 170, 170)],
    "white": [(225, 225, 225), (250, 250, 250)],
    "red": [(200, 25, 30), (140, 20, 25)],
    "orange": [(245, 130, 20)],
    "yellow": [(245, 215, 30), (220, 190, 60)],
    "green": [(40, 150, 50), (25, 90, 35), (130, 190, 60)],
    "blue": [(30, 80, 190), (20, 40, 110), (90, 160, 220), (0, 0, 255), (0, 0, 128), (40, 170, 200)],
    "purple": [(120, 40, 150), (140, 20, 215)],
    "pink": [(245, 150, 190), (225, 60, 140)],
    "brown": [(110, 65, 30), (150, 100, 60), (60, 35, 20)],
}

SAMPLES = 48


def dominant_colour(crop: np.ndarray) -> tuple[str, float]:
    """The most frequent basic colour in the middle of an RGB crop (h, w, 3), and its share of the pixels."""
    import cv2
    import numpy as np

    height, width = crop.shape[:2]
    middle = crop[height // 5 : max(1, height - height // 5), width // 5 : max(1, width - width // 5)]
    small = cv2.resize(middle, (SAMPLES, SAMPLES), interpolation=cv2.INTER_AREA)
    centres, owners = shades()
    # |a - b|² without |a|², which is the same for all centres.
    distance = (centres**2).sum(axis=1) - 2 * lab(small.reshape(-1, 1, 3))[:, 0] @ centres.T
    counts = np.bincount(owners[distance.argmin(axis=1)], minlength=len(PALETTE))
    return list(PALETTE)[counts.argmax()], float(counts.max() / counts.sum())


@cache
def shades() -> tuple[np.ndarray, np.ndarray]:
    """The palette's centres as L*a*b* (n, 3), and for each the number of its colour."""
    import numpy as np

    centres = np.array([shade for some in PALETTE.values() for shade in some], np.uint8)
    owners = [number for number, some in enumerate(PALETTE.values()) for _ in some]
    return lab(centres[:, None])[:, 0], np.array(owners)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of uint8 RGB pixels (n, 1, 3), lightness halved: shade matters less than hue."""
    import cv2
    import numpy as np

    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * np.array([0.5, 1, 1], np.float32)
