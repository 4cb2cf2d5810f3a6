"""Bounding boxes of detectors: fuse those of several views, and suppress those that show the same object twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Boxes:
    """Detected boxes: `xyxy` (n, 4) in pixels of the upright image, `scores` (n,) in 0..1, and n labels."""

    xyxy: np.ndarray
    scores: np.ndarray
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, indices: np.ndarray) -> Boxes:
        """Return the boxes at `indices`, in that order."""
        return Boxes(self.xyxy[indices], self.scores[indices], [self.labels[index] for index in indices])

    def clip(self, size: tuple[int, int]) -> Boxes:
        """Return the boxes within an image of this width and height, without those that are empty."""
        xyxy = np.clip(self.xyxy, 0, size * 2)
        clipped = Boxes(xyxy, self.scores, self.labels)
        return clipped.pick(np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)))


def concatenate(parts: Sequence[Boxes]) -> Boxes:
    """Return the boxes of all parts."""
    return Boxes(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        [label for part in parts for label in part.labels],
    )


def fuse_views(one: Boxes, other: Boxes, min_overlap: float) -> Boxes:
    """Fuse the boxes that two views of one image have for the same object.

    Boxes of one label, one of each view, that overlap by `min_overlap` (intersection over union) show one object.
    Its box is their mean weighted by score. Its score is the mean over both views; a view without the object
    counts as 0. This is weighted boxes fusion (Solovyev et al. 2021) with at most one box per view.
    """
    views = [suppress(view, min_overlap, 1.0, len(view)) for view in (one, other)]
    boxes = concatenate(views)
    is_other = np.arange(len(boxes)) >= len(views[0])
    names = np.array(boxes.labels)
    is_used = np.zeros(len(boxes), bool)
    xyxy, scores, labels = [], [], list[str]()
    for first in np.argsort(-boxes.scores, kind="stable"):
        if is_used[first]:
            continue
        overlaps = compute_overlaps(boxes.xyxy[first], boxes.xyxy)
        is_same = ~is_used & (names == names[first]) & (overlaps >= min_overlap)
        candidates = np.flatnonzero(is_same & (is_other != is_other[first]))
        members = [int(first)]
        if len(candidates):
            members.append(int(candidates[boxes.scores[candidates].argmax()]))
        is_used[members] = True
        weights = boxes.scores[members]
        xyxy.append(weights @ boxes.xyxy[members] / weights.sum())
        scores.append(weights.sum() / 2)
        labels.append(boxes.labels[first])
    return Boxes(np.array(xyxy).reshape(-1, 4), np.array(scores), labels)


def compute_overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union (n,) of one box (4,) with others (n, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersections = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersections / np.maximum((box[2:] - box[:2]).prod() + areas - intersections, 1e-9)


def suppress(boxes: Boxes, within: float, across: float, max_boxes: int) -> Boxes:
    """Keep the best box of every group of overlapping boxes, first within a label, then between labels.

    Two labels on one object ("cat" and "dog" on the same cat) overlap almost completely, two objects of different
    kinds (a rider and a horse) do not, so `across` should be higher than `within`.

    Args:
        boxes: Boxes that are not empty, with scores above 0.
        within: Maximum intersection over union of boxes with the same label.
        across: Maximum intersection over union of boxes with different labels.
        max_boxes: Maximum number of boxes to keep.
    """
    import cv2

    if not len(boxes):
        return boxes
    numbers = {label: number for number, label in enumerate(dict.fromkeys(boxes.labels))}
    classes = [numbers[label] for label in boxes.labels]
    rectangles = np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1).tolist()
    kept = cv2.dnn.NMSBoxesBatched(rectangles, boxes.scores.tolist(), classes, 0.0, within)
    best = boxes.pick(np.asarray(kept, int))
    kept = cv2.dnn.NMSBoxes([rectangles[index] for index in kept], best.scores.tolist(), 0.0, across)
    return best.pick(np.asarray(kept, int)[:max_boxes])
