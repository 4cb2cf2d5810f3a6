"""Propose lines of text in an image: spots that look like letters and are side by side.

A spot is a connected region darker or brighter than its surroundings (`cv2.adaptiveThreshold`), with a letter's
proportions. Spots are searched at several scales of the image, since one window suits one size of letters. They
form a line if they are similar in height, on one level and close to each other. Proposals are generous, because
reading them distinguishes text from other things. Text that is vertical or steeply sloped is not proposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.ocr.schema import Box

GrayImage = NDArray[np.uint8]

Numbers = NDArray[np.int64]

SCALES = (1.0, 0.5, 0.25)

# A spot is this much darker or brighter than the mean of a window of this side in pixels.
CONTRAST = 8

WINDOW = 35

# Height of letters in pixels of the scaled image; higher ones are proposed at a smaller scale.
MIN_HEIGHT, MAX_HEIGHT = 7, 40

MAX_ASPECT_RATIO = 4.0  # width / height: letters that touch are one spot

FILL = (0.12, 0.95)  # share of its box that a spot fills; a narrow one, such as an l, may fill all of it

# Neighbors on a line: maximum gap and maximum step at the foot, in heights of the higher one.
MAX_GAP, MAX_STEP = 1.0, 0.35

MAX_HEIGHT_RATIO = 2.2  # of the higher neighbor to the lower one

MIN_SHARED_HEIGHT = 0.7  # share of the lower neighbor's height that is beside the higher one

MIN_LETTERS = 2

MAX_LINE_HEIGHT = 2.0  # in heights of its letters

# Texture has any number of spots; a page of small print has some thousands of letters.
MAX_SPOTS = 8000

MAX_LINES = 300

MAX_OVERLAP = 0.6  # share of a line that is inside another one that is not much higher

MIN_SIDE = 12


class Lines(NamedTuple):
    """Lines of text, in pixels of the whole image."""

    boxes: Numbers  # (N, 4), xyxy
    letters: Numbers  # (N,), number of letters


def find_text_lines(gray: GrayImage) -> list[Box]:
    """Return boxes that may contain one line of text each, from top to bottom.

    Args:
        gray: The upright image (height, width).
    """
    limits = np.tile(gray.shape[::-1], 2)
    parts: list[Lines] = []
    for scale in SCALES:
        size = (round(gray.shape[1] * scale), round(gray.shape[0] * scale))
        if min(size) < MIN_SIDE:
            break
        for spots in _find_spots(resize_gray(gray, size)):
            lines = _join_spots(spots)
            parts.append(Lines(np.rint(lines.boxes / scale).astype(np.int64).clip(0, limits), lines.letters))
    if not parts:
        return []
    boxes = np.concatenate([lines.boxes for lines in parts])
    letters = np.concatenate([lines.letters for lines in parts])
    return sorted(_drop_nested(boxes, letters), key=lambda box: (box[1], box[0]))


def resize_gray(gray: GrayImage, size: tuple[int, int]) -> GrayImage:
    """Return an image (height, width) resized to `size`, width and height."""
    import cv2

    if size == gray.shape[::-1]:
        return gray
    method = cv2.INTER_AREA if size[0] < gray.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(gray, size, interpolation=method), np.uint8)


def find_components(count: int, first: Numbers, second: Numbers) -> Numbers:
    """Return for each of `count` nodes the lowest number in its connected component.

    Args:
        count: Number of nodes.
        first: One node of each edge (E,).
        second: The other node of each edge (E,).
    """
    lowest = np.arange(count)
    while True:
        reached = lowest.copy()
        np.minimum.at(reached, first, lowest[second])
        np.minimum.at(reached, second, lowest[first])
        reached = reached[reached]  # of the node found so far, what it has found
        if (reached == lowest).all():
            return lowest
        lowest = reached


def _find_spots(gray: GrayImage) -> Iterator[Numbers]:
    """Return dark, then bright spots: (N, 5) of left, top, width, height, area."""
    import cv2

    for kind, offset in ((cv2.THRESH_BINARY_INV, CONTRAST), (cv2.THRESH_BINARY, -CONTRAST)):
        mask = cv2.adaptiveThreshold(gray, 1, cv2.ADAPTIVE_THRESH_MEAN_C, kind, WINDOW, offset)
        _, _, spots, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        spots = spots[1:].astype(np.int64)
        width, height, area = spots[:, 2], spots[:, 3], spots[:, 4]
        fill = area / (width * height)
        is_letter = (height >= MIN_HEIGHT) & (height <= MAX_HEIGHT) & (width <= MAX_ASPECT_RATIO * height)
        is_letter &= (fill >= FILL[0]) & ((fill <= FILL[1]) | (width < height / 2))
        spots = spots[is_letter]
        if len(spots) > MAX_SPOTS:
            spots = spots[np.argsort(-spots[:, 4], kind="stable")[:MAX_SPOTS]]
        yield spots


def _join_spots(spots: Numbers) -> Lines:
    """Return lines of spots that follow each other from left to right."""
    spots = spots[np.argsort(spots[:, 0], kind="stable")]
    left, top, right, bottom = spots[:, 0], spots[:, 1], spots[:, 0] + spots[:, 2], spots[:, 1] + spots[:, 3]
    line_of = find_components(len(spots), *_find_neighbors(spots))
    order = np.argsort(line_of, kind="stable")
    starts = np.flatnonzero(np.diff(line_of[order], prepend=-1))
    if not len(starts):
        return Lines(np.empty((0, 4), np.int64), np.empty(0, np.int64))
    sides = ((np.minimum, left), (np.minimum, top), (np.maximum, right), (np.maximum, bottom))
    boxes = np.column_stack([outer.reduceat(side[order], starts) for outer, side in sides])
    letters = np.diff(np.append(starts, len(spots)))
    mean_height = np.add.reduceat(spots[order, 3], starts) / letters
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    kept = (letters >= MIN_LETTERS) & (width >= height) & (height <= MAX_LINE_HEIGHT * mean_height)
    return Lines(boxes[kept], letters[kept])


def _find_neighbors(spots: Numbers) -> tuple[Numbers, Numbers]:
    """Return pairs (left one, right one) of spots, sorted by their left side, that may be neighbors on a line."""
    bottom = spots[:, 1] + spots[:, 3]
    by_foot = np.argsort(bottom, kind="stable")
    feet = bottom[by_foot]
    # Only spots with similar feet are compared, not all pairs.
    last = np.searchsorted(feet, feet + MAX_STEP * MAX_HEIGHT, side="right")
    count = last - np.arange(len(feet)) - 1
    first = np.repeat(np.arange(len(feet)), count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    a, b = by_foot[first], by_foot[second]
    a, b = np.minimum(a, b), np.maximum(a, b)

    left, top, width, height = spots[:, 0], spots[:, 1], spots[:, 2], spots[:, 3]
    gap = left[b] - left[a] - width[a]
    higher, lower = np.maximum(height[a], height[b]), np.minimum(height[a], height[b])
    is_close = (gap < MAX_GAP * higher) & (gap > -lower / 2) & (higher <= MAX_HEIGHT_RATIO * lower)
    a, b, higher, lower = a[is_close], b[is_close], higher[is_close], lower[is_close]
    shared = np.minimum(bottom[a], bottom[b]) - np.maximum(top[a], top[b])
    is_level = (shared >= MIN_SHARED_HEIGHT * lower) & (np.abs(bottom[a] - bottom[b]) <= MAX_STEP * higher)
    return a[is_level], b[is_level]


def _drop_nested(boxes: Numbers, letters: Numbers) -> list[Box]:
    """Return boxes that are not mostly inside another one; if there are too many, those with the most letters."""
    if len(boxes) > MAX_LINES:
        boxes = boxes[np.argsort(-letters, kind="stable")[:MAX_LINES]]
    left, top, right, bottom = boxes.T
    area, height = (right - left) * (bottom - top), bottom - top
    shared_width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    shared_height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
    # [i, j]: line i adds nothing to line j.
    is_nested = (shared > MAX_OVERLAP * area[:, None]) & (height[:, None] > MAX_OVERLAP * height)
    kept: list[int] = []
    for number in np.argsort(-area, kind="stable").tolist():
        if not is_nested[number, kept].any():
            kept.append(number)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes[kept].tolist()]
