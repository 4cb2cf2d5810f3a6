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
    import numpy as np
    import torch
    from torchvision.ops import batched_nms, nms

    if not len(boxes):
        return boxes
    xyxy = torch.as_tensor(boxes.xyxy, dtype=torch.float32)
    scores = torch.as_tensor(boxes.scores, dtype=torch.float32)
    number = {label: index for index, label in enumerate(dict.fromkeys(boxes.labels))}
    classes = torch.tensor([number[label] for label in boxes.labels])
    kept = batched_nms(xyxy, scores, classes, within)
    kept = kept[nms(xyxy[kept], scores[kept], across)]
    return boxes.pick(np.asarray(kept)[:most])
