"""NanoDet-g, the detector in the wheel: 80 COCO classes, 7.6 MB, through OpenCV's own network runner.

Where the weights come from and what goes in and out of them: `stages/weights/NOTICE.md`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageError
from stages.detection import Boxes

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

WEIGHTS = Path(__file__).parent / "weights" / "nanodet_g_fp16.onnx"
SHA256 = "909123ff162763a5244456723d916f84669ff8a43573a7fea9ecc9fe6569ae27"
REINSTALL = "pip install --force-reinstall --no-deps ita-pipeline"
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


class NanoDet:
    """Not safe for several threads at once: OpenCV keeps the last picture inside the network."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        """Load the network.

        Raises:
            StageError: the file is missing, or its bytes are not those of `SHA256`.
        """
        import numpy as np

        try:
            import cv2
        except ImportError as error:
            raise StageError(
                f"OpenCV cannot be loaded: {error}",
                "Debian, Ubuntu: apt-get install libgl1 libglib2.0-0; Fedora: dnf install mesa-libGL glib2",
            ) from error

        content = read_weights(weights)
        self.network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        self.outputs = [f"cls{stride}" for stride in STRIDES] + [f"reg{stride}" for stride in STRIDES]

    def detect(self, picture: Image, floor: float) -> Boxes:
        """All cells whose best class scores at least `floor`, before any suppression."""
        import numpy as np

        blob, scale, (left, top) = letterbox(picture)
        self.network.setInput(blob)
        found = dict(zip(self.outputs, self.network.forward(self.outputs), strict=True))
        boxes, scores, classes = [], [], []
        for stride in STRIDES:
            confidence = found[f"cls{stride}"].reshape(-1, len(COCO))
            best = confidence.argmax(axis=1)
            score = confidence[np.arange(len(best)), best]
            kept = np.flatnonzero(score >= floor)
            boxes.append(decode_sides(found[f"reg{stride}"].reshape(-1, 44)[kept], kept, stride))
            scores.append(score[kept])
            classes.append(best[kept])
        xyxy = (np.concatenate(boxes) - [left, top, left, top]) / scale
        limits = [picture.width, picture.height] * 2
        return Boxes(
            xyxy=np.clip(xyxy, 0, limits),
            scores=np.concatenate(scores),
            labels=[COCO[index] for index in np.concatenate(classes)],
        )


def read_weights(weights: Path) -> bytes:
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise StageError(f"the detector's weights cannot be read: {error}", REINSTALL) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise StageError(f"the detector's weights {weights} are not the ones shipped", REINSTALL)
    return content


def letterbox(picture: Image) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The network's input (1, 3, 416, 416), the scale of the picture in it, and its left and top margin."""
    import cv2
    import numpy as np

    scale = SIDE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    bgr = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
    resized = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((SIDE, SIDE, 3), MEAN_BGR, np.float32)
    canvas[top : top + height, left : left + width] = resized
    normal = (canvas - np.array(MEAN_BGR, np.float32)) / np.array(STD_BGR, np.float32)
    return normal.transpose(2, 0, 1)[None], scale, (left, top)


def decode_sides(bins: np.ndarray, cells: np.ndarray, stride: int) -> np.ndarray:
    """Boxes (n, 4) from (n, 44) bin logits: each side's distance is the mean of a distribution over 0..10."""
    import numpy as np

    logits = bins.reshape(-1, 4, 11)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    sides = (weights / weights.sum(axis=2, keepdims=True)) @ np.arange(11) * stride
    columns = SIDE // stride
    centre = np.stack([cells % columns + 0.5, cells // columns + 0.5], axis=1) * stride
    return np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1)
