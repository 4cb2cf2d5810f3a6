"""The dominant color of an image region."""

from __future__ import annotations

from functools import cache

import numpy as np

# sRGB centers of the eleven basic color terms (Berlin and Kay 1969), several for those that vary in lightness.
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

SAMPLE_SIDE = 48  # pixels


def find_dominant_color(crop: np.ndarray) -> tuple[str, float]:
    """Return the most frequent basic color in the middle of an RGB crop (h, w, 3), and its share of the pixels."""
    import cv2

    height, width = crop.shape[:2]
    middle = crop[height // 5 : max(1, height - height // 5), width // 5 : max(1, width - width // 5)]
    sample = cv2.resize(middle, (SAMPLE_SIDE, SAMPLE_SIDE), interpolation=cv2.INTER_AREA)
    centers, colors = _palette_centers()
    # |a - b|² without |a|², which is the same for all centers.
    distances = (centers**2).sum(axis=1) - 2 * _convert_to_lab(sample.reshape(-1, 1, 3))[:, 0] @ centers.T
    counts = np.bincount(colors[distances.argmin(axis=1)], minlength=len(PALETTE))
    return list(PALETTE)[counts.argmax()], float(counts.max() / counts.sum())


@cache
def _palette_centers() -> tuple[np.ndarray, np.ndarray]:
    """Return the palette's centers as L*a*b* (n, 3), and the number of each center's color (n,)."""
    centers = np.array([center for shades in PALETTE.values() for center in shades], np.uint8)
    colors = [number for number, shades in enumerate(PALETTE.values()) for _ in shades]
    return _convert_to_lab(centers[:, None])[:, 0], np.array(colors)


def _convert_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Return uint8 RGB pixels (n, 1, 3) as CIE L*a*b* with half the lightness, since it matters less than hue."""
    import cv2

    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * np.array([0.5, 1, 1], np.float32)
