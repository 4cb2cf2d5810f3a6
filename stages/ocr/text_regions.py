"""Where lines of text may stand in a picture: letter-like spots that stand side by side.

A spot is a connected region darker or brighter than its surroundings (`cv2.adaptiveThreshold`), of a letter's
proportions. Spots are looked for at several sizes of the picture, since one window suits one size of letters.
They are joined to lines if they are alike in height, stand on one level and are close. Proposals are generous:
what is no text is told apart when it is read. Text that runs upwards or steeply aslant is not proposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]
    Numbers = NDArray[np.int64]


Box = tuple[int, int, int, int]


SCALES = (1.0, 0.5, 0.25)

# A spot is this much darker or brighter than the mean of a window of so many pixels.
CONTRAST = 8

WINDOW = 35

# Letters in pixels of the scaled picture; higher ones are found at a smaller scale.
LOWEST, HIGHEST = 7, 40

WIDEST = 4.0  # times its height: letters that touch are one spot

INK = (0.12, 0.95)  # how much of its box a spot fills; a slim one, such as an l, may fill all

# Neighbours on a line: the gap and the step at the foot in heights of the higher one, ...
GAP, STEP = 1.0, 0.35

RATIO = 2.2  # ... its height by that of the lower one, ...

BESIDE = 0.7  # ... and how much of the lower one is beside it.

FEWEST = 2

TALLEST = 2.0  # a line, in heights of its letters

# Texture has spots without end; a page of small print has some thousands of letters.
MOST_SPOTS = 8000

MOST_LINES = 300

SAME = 0.6  # of a line lies in another one that is not much higher

SMALLEST_SIDE = 12


class Lines(NamedTuple):
    """Corners of lines as columns, in pixels of the whole picture, and how many letters each has."""

    boxes: Numbers  # (N, 4), xyxy
    letters: Numbers  # (N,)


def text_lines(grey: Grey) -> list[Box]:
    """Boxes that may hold one line of text each, from the top down.

    Args:
        grey: (height, width), the upright picture.
    """
    limits = np.tile(grey.shape[::-1], 2)
    found: list[Lines] = []
    for scale in SCALES:
        size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
        if min(size) < SMALLEST_SIDE:
            break
        for spots in letter_spots(resized(grey, size)):
            lines = joined(spots)
            found.append(Lines(np.rint(lines.boxes / scale).astype(np.int64).clip(0, limits), lines.letters))
    if not found:
        return []
    boxes = distinct(
        np.concatenate([lines.boxes for lines in found]), np.concatenate([lines.letters for lines in found])
    )
    return sorted(boxes, key=lambda box: (box[1], box[0]))


def resized(grey: Grey, size: tuple[int, int]) -> Grey:
    """(height, width) as `size`, (width, height), says."""
    import cv2

    if size == grey.shape[::-1]:
        return grey
    method = cv2.INTER_AREA if size[0] < grey.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, size, interpolation=method), np.uint8)


def letter_spots(grey: Grey) -> Iterator[Numbers]:
    """Dark, then bright spots: (N, 5) of left, top, width, height, area."""
    import cv2

    for kind, offset in ((cv2.THRESH_BINARY_INV, CONTRAST), (cv2.THRESH_BINARY, -CONTRAST)):
        mask = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, kind, WINDOW, offset)
        _, _, spots, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        spots = spots[1:].astype(np.int64)
        width, height, area = spots[:, 2], spots[:, 3], spots[:, 4]
        ink = area / (width * height)
        alike = (height >= LOWEST) & (height <= HIGHEST) & (width <= WIDEST * height)
        alike &= (ink >= INK[0]) & ((ink <= INK[1]) | (width < height / 2))
        spots = spots[alike]
        if len(spots) > MOST_SPOTS:
            spots = spots[np.argsort(-spots[:, 4], kind="stable")[:MOST_SPOTS]]
        yield spots


def joined(spots: Numbers) -> Lines:
    """Lines of spots that follow each other from left to right."""
    spots = spots[np.argsort(spots[:, 0], kind="stable")]
    left, top, right, bottom = spots[:, 0], spots[:, 1], spots[:, 0] + spots[:, 2], spots[:, 1] + spots[:, 3]
    names = components(len(spots), *neighbours(spots))
    order = np.argsort(names, kind="stable")
    starts = np.flatnonzero(np.diff(names[order], prepend=-1))
    if not len(starts):
        return Lines(np.empty((0, 4), np.int64), np.empty(0, np.int64))
    boxes = np.column_stack(
        [
            np.minimum.reduceat(left[order], starts),
            np.minimum.reduceat(top[order], starts),
            np.maximum.reduceat(right[order], starts),
            np.maximum.reduceat(bottom[order], starts),
        ]
    )
    letters = np.diff(np.append(starts, len(spots)))
    usual = np.add.reduceat(spots[order, 3], starts) / letters
    height = boxes[:, 3] - boxes[:, 1]
    kept = (letters >= FEWEST) & (boxes[:, 2] - boxes[:, 0] >= height) & (height <= TALLEST * usual)
    return Lines(boxes[kept], letters[kept])


def neighbours(spots: Numbers) -> tuple[Numbers, Numbers]:
    """Pairs (left one, right one) of spots, sorted by their left side, that may follow each other in a line."""
    bottom = spots[:, 1] + spots[:, 3]
    by_foot = np.argsort(bottom, kind="stable")
    feet = bottom[by_foot]
    # Only those whose feet are near are compared, not all with all.
    last = np.searchsorted(feet, feet + STEP * HIGHEST, side="right")
    count = last - np.arange(len(feet)) - 1
    first = np.repeat(np.arange(len(feet)), count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    a, b = by_foot[first], by_foot[second]
    a, b = np.minimum(a, b), np.maximum(a, b)

    left, top, width, height = spots[:, 0], spots[:, 1], spots[:, 2], spots[:, 3]
    gap = left[b] - left[a] - width[a]
    higher, lower = np.maximum(height[a], height[b]), np.minimum(height[a], height[b])
    near = (gap < GAP * higher) & (gap > -lower / 2) & (higher <= RATIO * lower)
    a, b, higher, lower = a[near], b[near], higher[near], lower[near]
    beside = np.minimum(bottom[a], bottom[b]) - np.maximum(top[a], top[b])
    level = (beside >= BESIDE * lower) & (np.abs(bottom[a] - bottom[b]) <= STEP * higher)
    return a[level], b[level]


def components(count: int, first: Numbers, second: Numbers) -> Numbers:
    """For each of `count` things the lowest number of those that it is linked with, also over others."""
    parent = list(range(count))

    def root(thing: int) -> int:
        while parent[thing] != thing:
            parent[thing] = parent[parent[thing]]
            thing = parent[thing]
        return thing

    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(thing) for thing in range(count)], dtype=np.int64)


def distinct(boxes: Numbers, letters: Numbers) -> list[Box]:
    """Boxes of which none is nearly in another one; those of most letters, if there are too many."""
    if len(boxes) > MOST_LINES:
        most = np.argsort(-letters, kind="stable")[:MOST_LINES]
        boxes = boxes[most]
    left, top, right, bottom = boxes.T
    area, height = (right - left) * (bottom - top), bottom - top
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    down = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    common = np.maximum(across, 0) * np.maximum(down, 0)
    # [i, j]: i adds nothing to j.
    within = (common > SAME * area[:, None]) & (height[:, None] > SAME * height)
    kept: list[int] = []
    for index in np.argsort(-area, kind="stable").tolist():
        if not within[index, kept].any():
            kept.append(index)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes[kept].tolist()]
