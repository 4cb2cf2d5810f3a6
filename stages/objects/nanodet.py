"""NanoDet-g, the bundled detector: COCO's 80 classes, 7.6 MB, run by ONNX Runtime.

Each image is processed twice: stretched to the network's square, and mirrored in its own aspect ratio. Objects in
both views are mostly real, objects in one view are mostly not. docs/objects.md has the gain, and what else was
tried. `weights/NOTICE.md` describes the source of the weights, their inputs and their outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image

from stages.models.libraries import open_session, read_pinned
from stages.objects.boxes import Boxes, concatenate, fuse_views
from stages.objects.vocabulary import read_vocabulary

WEIGHTS = Path(__file__).parent / "weights" / "nanodet_g_fp16.onnx"

SHA256 = "909123ff162763a5244456723d916f84669ff8a43573a7fea9ecc9fe6569ae27"

# The labels of its classes, by number.
COCO = read_vocabulary("coco")

SIDE = 416

STRIDES = (8, 16, 32)

BINS = 11  # of the distribution of a side's distance, in strides

MEAN_BGR = (103.53, 116.28, 123.675)

STD_BGR = (57.375, 57.12, 58.395)

# Intersection over union from which boxes in two views are considered one object.
MIN_VIEW_OVERLAP = 0.4


class NanoDet:
    """A `Detector`. Several threads may call it at once."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """Read the weights.

        Raises:
            StageError: The file is missing, or its digest is not `SHA256`.
        """
        self.session = open_session(read_pinned(weights, SHA256))
        self.outputs = [f"cls{stride}" for stride in STRIDES] + [f"reg{stride}" for stride in STRIDES]

    def detect(self, images: Sequence[Image], floor: float) -> list[Boxes]:
        """Return the boxes of each image that score at least `floor`; a score is the mean over both views."""
        return [self._detect(image, floor) for image in images]

    def _detect(self, image: Image, floor: float) -> Boxes:
        rgb = np.asarray(image)
        # A box with a mean of `floor` may score half of it in one view.
        stretched = self._run_view(rgb, (SIDE, SIDE), floor / 2)
        mirrored = self._run_view(rgb, _fit_size(image.size), floor / 2, is_mirrored=True)
        mirrored.xyxy[:, [0, 2]] = image.width - mirrored.xyxy[:, [2, 0]]
        boxes = fuse_views(stretched, mirrored, MIN_VIEW_OVERLAP)
        return boxes.pick(np.flatnonzero(boxes.scores >= floor))

    def _run_view(self, rgb: np.ndarray, size: tuple[int, int], floor: float, is_mirrored: bool = False) -> Boxes:
        """Return all cells of one view whose best class scores at least `floor` and above 0.

        Args:
            rgb: The image (h, w, 3).
            size: Width and height that the image is resized to.
            floor: Minimum score.
            is_mirrored: Whether the image is mirrored; the boxes are then in its mirrored coordinates.
        """
        height, width = rgb.shape[:2]
        left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
        tensors = self.session.run(self.outputs, {"image": _build_input(rgb, size, is_mirrored)})
        outputs = {name: np.asarray(tensor) for name, tensor in zip(self.outputs, tensors, strict=True)}
        parts: list[Boxes] = []
        for stride in STRIDES:
            confidences = outputs[f"cls{stride}"].reshape(-1, len(COCO))
            best = confidences.argmax(axis=1)
            scores = confidences[np.arange(len(best)), best]
            kept = np.flatnonzero((scores >= floor) & (scores > 0))
            xyxy = decode_sides(outputs[f"reg{stride}"].reshape(-1, 4 * BINS)[kept], kept, stride)
            parts.append(Boxes(xyxy, scores[kept], [COCO[index] for index in best[kept]]))
        boxes = concatenate(parts)
        scale = np.array(size * 2) / [width, height, width, height]
        xyxy = (boxes.xyxy - [left, top, left, top]) / scale
        return Boxes(xyxy, boxes.scores, boxes.labels).clip((width, height))


def decode_sides(bins: np.ndarray, cells: np.ndarray, stride: int) -> np.ndarray:
    """Return boxes (n, 4) from logits (n, 44) of cells (n,): a side's distance is the mean of its distribution."""
    logits = bins.reshape(-1, 4, BINS)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    sides = (weights / weights.sum(axis=2, keepdims=True)) @ np.arange(BINS) * stride
    columns = SIDE // stride
    center = np.stack([cells % columns + 0.5, cells // columns + 0.5], axis=1) * stride
    return np.concatenate([center - sides[:, :2], center + sides[:, 2:]], axis=1)


def _fit_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return an image's width and height, scaled so that its longer side is the network's."""
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _build_input(rgb: np.ndarray, size: tuple[int, int], is_mirrored: bool) -> np.ndarray:
    """Return the input (1, 3, 416, 416), BGR: the image, resized to `size`, in the middle of the mean color."""
    import cv2

    is_shrunk = size[0] < rgb.shape[1] or size[1] < rgb.shape[0]
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if is_shrunk else cv2.INTER_LINEAR)
    if is_mirrored:
        resized = resized[:, ::-1]
    planes = np.zeros((1, 3, SIDE, SIDE), np.float32)
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    for channel, (mean, deviation) in enumerate(zip(MEAN_BGR, STD_BGR, strict=True)):
        plane = planes[0, channel, top : top + size[1], left : left + size[0]]
        np.subtract(resized[:, :, 2 - channel], np.float32(mean), out=plane)
        plane /= np.float32(deviation)
    return planes
