"""NanoDet-g, the detector in the wheel: 80 COCO classes, 7.6 MB, run by ONNX Runtime.

Each picture is looked at twice, stretched to the network's square, and in its own shape and mirrored. What both see
is mostly there, what one sees mostly is not: docs/objects.md has how much that brings, and what else was tried.
Where the weights come from and what goes in and out of them: `stages/weights/NOTICE.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.models.onnx import open_session, read_pinned
from stages.objects.boxes import Boxes, agreed, joined

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


WEIGHTS = Path(__file__).parent / "weights" / "nanodet_g_fp16.onnx"

SHA256 = "909123ff162763a5244456723d916f84669ff8a43573a7fea9ecc9fe6569ae27"

SIDE = 416

STRIDES = (8, 16, 32)

MEAN_BGR = (103.53, 116.28, 123.675)

STD_BGR = (57.375, 57.12, 58.395)


NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
    "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,"
    "toothbrush"
)

COCO = NAMES.split(",")


SAME = 0.4  # intersection over union from which on two views are thought to show one thing


class NanoDet:
    """May be asked from several threads at once."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """Read the weights.

        Raises:
            StageError: the file is missing, or its bytes are not those of `SHA256`.
        """
        self.network = open_session(read_pinned(weights, SHA256))
        self.outputs = [f"cls{stride}" for stride in STRIDES] + [f"reg{stride}" for stride in STRIDES]

    def detect(self, pictures: Sequence[Image], floor: float) -> list[Boxes]:
        """What scores at least `floor` in each picture; a score is the mean over both views."""
        return [self.detect_in(picture, floor) for picture in pictures]

    def detect_in(self, picture: Image, floor: float) -> Boxes:
        import cv2
        import numpy as np

        bgr = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
        # What scores `floor` on average may score half of it in one view.
        stretched = self.look(bgr, (SIDE, SIDE), floor / 2)
        mirrored = self.look(bgr, fitting(picture.size), floor / 2, mirrored=True)
        mirrored.xyxy[:, [0, 2]] = picture.width - mirrored.xyxy[:, [2, 0]]
        both = agreed([stretched, mirrored], SAME)
        return both.pick(np.flatnonzero(both.scores >= floor))

    def look(self, bgr: np.ndarray, size: tuple[int, int], floor: float, mirrored: bool = False) -> Boxes:
        """All cells whose best class scores at least `floor`, and above 0, in one view: the picture (h, w, 3) made
        as large as `size`, width and height, says, and maybe mirrored, as the boxes are then.
        """
        import numpy as np

        height, width = bgr.shape[:2]
        left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
        answers = self.network.run(self.outputs, {"image": network_input(bgr, size, mirrored)})
        found = {name: np.asarray(answer) for name, answer in zip(self.outputs, answers, strict=True)}
        parts: list[Boxes] = []
        for stride in STRIDES:
            confidence = found[f"cls{stride}"].reshape(-1, len(COCO))
            best = confidence.argmax(axis=1)
            score = confidence[np.arange(len(best)), best]
            kept = np.flatnonzero(score >= floor)
            xyxy = decode_sides(found[f"reg{stride}"].reshape(-1, 44)[kept], kept, stride)
            parts.append(Boxes(xyxy, score[kept], [COCO[index] for index in best[kept]]))
        boxes = joined(parts)
        scale = np.array(size * 2) / [width, height, width, height]
        xyxy = np.clip((boxes.xyxy - [left, top, left, top]) / scale, 0, [width, height] * 2)
        inside = (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1) & (boxes.scores > 0)
        return Boxes(xyxy, boxes.scores, boxes.labels).pick(np.flatnonzero(inside))


def fitting(size: tuple[int, int]) -> tuple[int, int]:
    """A picture's size, width and height, so that its longer side is the network's."""
    scale = SIDE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def network_input(bgr: np.ndarray, size: tuple[int, int], mirrored: bool = False) -> np.ndarray:
    """(1, 3, 416, 416): the picture, made as large as `size`, in the middle of the network's mean colour."""
    import cv2
    import numpy as np

    shrunk = size[0] < bgr.shape[1] or size[1] < bgr.shape[0]
    resized = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR)
    if mirrored:
        resized = resized[:, ::-1]
    planes = np.zeros((1, 3, SIDE, SIDE), np.float32)
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    for channel, (mean, deviation) in enumerate(zip(MEAN_BGR, STD_BGR, strict=True)):
        plane = planes[0, channel, top : top + size[1], left : left + size[0]]
        np.subtract(resized[:, :, channel], np.float32(mean), out=plane)
        plane /= np.float32(deviation)
    return planes


def decode_sides(bins: np.ndarray, cells: np.ndarray, stride: int) -> np.ndarray:
    """Boxes (n, 4) from (n, 44) bin logits: each side's distance is the mean of a distribution over 0..10."""
    import numpy as np

    logits = bins.reshape(-1, 4, 11)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    sides = (weights / weights.sum(axis=2, keepdims=True)) @ np.arange(11) * stride
    columns = SIDE // stride
    centre = np.stack([cells % columns + 0.5, cells // columns + 0.5], axis=1) * stride
    return np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1)
