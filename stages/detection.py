"""Boxes as detectors give them, and the suppression of those that show the same thing twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Boxes:
    """`xyxy` (n, 4) in pixels of the upright picture, `scores` (n,) in 0..1, one label each."""

    xyxy: np.ndarray
    scores: np.ndarray
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def pick(self, indices: np.ndarray) -> Boxes:
        return Boxes(self.xyxy[indices], self.scores[indices], [self.labels[index] for index in indices])


def suppress(boxes: Boxes, within: float, across: float, most: int) -> Boxes:
    """Keep the best box of every group that overlaps, first within a label and then between labels.

    Two labels on one thing ("cat" and "dog" on the same cat) overlap nearly whole, two things of different
    kinds (a rider and a horse) do not: hence `across` is the higher intersection over union of the two.
    """
    import cv2
    import numpy as np

    if not len(boxes):
        return boxes
    wide = np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1)
    number = {label: index for index, label in enumerate(dict.fromkeys(boxes.labels))}
    classes = np.array([number[label] for label in boxes.labels], np.int32)
    scores = boxes.scores.astype(np.float32)
    kept = np.sort(np.asarray(cv2.dnn.NMSBoxesBatched(wide, scores, classes, 0.0, within), int).ravel())
    again = np.asarray(cv2.dnn.NMSBoxes(wide[kept], scores[kept], 0.0, across), int).ravel()
    best = kept[again]
    return boxes.pick(best[np.argsort(-boxes.scores[best], kind="stable")][:most])
