"""Boxes as detectors give them: those of several views joined, and those that show the same thing twice dropped."""

from __future__ import annotations

from collections.abc import Sequence
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


def joined(parts: Sequence[Boxes]) -> Boxes:
    import numpy as np

    return Boxes(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        [label for part in parts for label in part.labels],
    )


def agreed(views: Sequence[Boxes], same: float) -> Boxes:
    """The things that some views of one picture show, each once.

    Boxes of one label in different views that overlap by `same` (intersection over union) are one thing: its box is
    their mean weighted by their scores, its score the mean over all views, of which those that do not show it count
    as 0. (Weighted boxes fusion, Solovyev et al. 2021, with at most one box a view.)
    """
    import numpy as np

    alone = [suppress(view, same, 1.0, len(view)) for view in views]
    boxes = joined(alone)
    views_of = np.repeat(np.arange(len(alone)), [len(view) for view in alone])
    names = np.array(boxes.labels)
    taken = np.zeros(len(boxes), bool)
    xyxy, scores, labels = [], [], list[str]()
    for first in np.argsort(-boxes.scores, kind="stable"):
        if taken[first]:
            continue
        alike = ~taken & (names == names[first]) & (overlaps(boxes.xyxy[first], boxes.xyxy) >= same)
        # The best one of each view.
        members = [int(first)]
        for number in set(range(len(alone))) - {int(views_of[first])}:
            others = np.flatnonzero(alike & (views_of == number))
            if len(others):
                members.append(int(others[boxes.scores[others].argmax()]))
        taken[members] = True
        weights = boxes.scores[members]
        xyxy.append(weights @ boxes.xyxy[members] / weights.sum())
        scores.append(weights.sum() / len(alone))
        labels.append(boxes.labels[first])
    return Boxes(np.array(xyxy).reshape(-1, 4), np.array(scores), labels)


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union (n,) of one box with others (n, 4)."""
    import numpy as np

    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return both / np.maximum((box[2:] - box[:2]).prod() + areas - both, 1e-9)


def suppress(boxes: Boxes, within: float, across: float, most: int) -> Boxes:
    """Keep the best box of every group that overlaps, first within a label and then between labels.

    Two labels on one thing ("cat" and "dog" on the same cat) overlap nearly whole, two things of different
    kinds (a rider and a horse) do not: hence `across` is the higher intersection over union of the two. No box is
    empty, and all scores are above 0.
    """
    import cv2
    import numpy as np

    if not len(boxes):
        return boxes
    number = {label: index for index, label in enumerate(dict.fromkeys(boxes.labels))}
    classes = [number[label] for label in boxes.labels]
    rectangles = np.concatenate([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]], axis=1).tolist()
    kept = cv2.dnn.NMSBoxesBatched(rectangles, boxes.scores.tolist(), classes, 0.0, within)
    best = boxes.pick(np.asarray(kept, int))
    kept = cv2.dnn.NMSBoxes([rectangles[index] for index in kept], best.scores.tolist(), 0.0, across)
    return best.pick(np.asarray(kept, int)[:most])
