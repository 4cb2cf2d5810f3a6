"""Extraction beside the script that a user writes: `python -m benchmarks.extraction [FOLDER]` (or
`ITA_PICTURES`), a folder of pictures such as those of tweets.

The script opens each picture and asks pytesseract, OpenCV with the same detector, and timm with the same
classifier, one picture and one crop after the other, all with their defaults. Without a folder it is the example's
pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytesseract
import timm
import torch
from PIL import Image
from torchvision.ops import batched_nms

import ita_pipeline as ita
from benchmarks.timing import HEADER, Comparison, compare
from ita_pipeline.core.config import package_data_folder
from stages.objects.efficientnet import SIDE as CROP_SIDE
from stages.objects.efficientnet import find_weights
from stages.objects.nanodet import COCO, MEAN_BGR, SIDE, STD_BGR, STRIDES, WEIGHTS, decode_sides

PICTURES = 16
PAIRS = 3
MOST_CROPS = 12
SCORE, OVERLAP = 0.35, 0.5


class Script:
    """What a user writes. Models are loaded for each run, as they are in ours."""

    def __init__(self) -> None:
        self.detector = cv2.dnn.readNetFromONNX(str(WEIGHTS))
        stored = torch.load(find_weights(), map_location="cpu", weights_only=True)
        self.classifier = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
        names = self.classifier.state_dict()
        self.classifier.load_state_dict(dict(zip(names, stored.values(), strict=True)))

    def words(self, picture: Image.Image) -> object:
        return pytesseract.image_to_data(picture)

    def boxes(self, picture: Image.Image) -> list[tuple[int, ...]]:
        bgr = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR)
        scale = SIDE / max(picture.size)
        small = cv2.resize(bgr, None, fx=scale, fy=scale)
        canvas = np.zeros((SIDE, SIDE, 3), np.float32)
        canvas[: small.shape[0], : small.shape[1]] = small
        self.detector.setInput(((canvas - MEAN_BGR) / STD_BGR).astype(np.float32).transpose(2, 0, 1)[None])
        names = [f"cls{stride}" for stride in STRIDES] + [f"reg{stride}" for stride in STRIDES]
        found = dict(zip(names, self.detector.forward(names), strict=True))
        xyxy, scores, classes = [], [], []
        for stride in STRIDES:
            confidence = found[f"cls{stride}"].reshape(-1, len(COCO))
            kept = np.flatnonzero(confidence.max(axis=1) >= SCORE)
            xyxy.append(decode_sides(found[f"reg{stride}"].reshape(-1, 44)[kept], kept, stride) / scale)
            scores.append(confidence[kept].max(axis=1))
            classes.append(confidence[kept].argmax(axis=1))
        every = torch.tensor(np.concatenate(xyxy), dtype=torch.float32)
        best = batched_nms(
            every, torch.tensor(np.concatenate(scores)), torch.tensor(np.concatenate(classes)), OVERLAP
        )
        return [tuple(map(int, box)) for box in every[best][:MOST_CROPS].clamp(min=0).tolist()]

    def kinds(self, picture: Image.Image) -> None:
        for x0, y0, x1, y1 in self.boxes(picture):
            crop = picture.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))).resize((CROP_SIDE, CROP_SIDE))
            pixels = torch.from_numpy(np.asarray(crop, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
            with torch.no_grad():
                self.classifier(pixels.contiguous()).softmax(1)


def ours(images: Path, *stages: str) -> None:
    with tempfile.TemporaryDirectory() as workspace:
        done = ita.extract(images, ita.Options(preset="bundled", stages=stages, workspace=Path(workspace)))
        if not done.clean:
            raise RuntimeError(f"{len(done.failed)} pictures failed, so that the time would flatter")


def script(paths: Sequence[Path], *parts: Callable[[Script, Image.Image], object]) -> None:
    models = Script()
    for path in paths:
        picture = Image.open(path).convert("RGB")
        for part in parts:
            part(models, picture)


def chosen(folder: Path, count: int) -> list[Path]:
    """So many pictures, evenly chosen from a folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return found[:: max(1, len(found) // count)][:count]


def run(folder: Path | None = None, count: int = PICTURES, pairs: int = PAIRS) -> Iterator[Comparison]:
    paths = chosen(folder or package_data_folder("examples") / "posts" / "images", count)
    with tempfile.TemporaryDirectory() as place:
        images = Path(place) / "images"
        images.mkdir()
        for path in paths:
            (images / path.name).symlink_to(path.resolve())
        parts = {"words": Script.words, "objects": Script.kinds}
        title = f"of {len(paths)} pictures, a plain script"

        def whole() -> None:
            script(paths, *parts.values())

        yield compare(f"all {title}", lambda: ours(images), whole, pairs)
        for stage, (name, part) in zip(("ocr", "objects"), parts.items(), strict=True):
            mine, theirs = partial(ours, images, stage), partial(script, paths, part)
            yield compare(f"{name} {title}", mine, theirs, pairs)
        again = ita.Options(preset="bundled", workspace=Path(place))
        ita.extract(images, again)
        yield compare(f"nothing new {title}", lambda: ita.extract(images, again), whole, pairs)


def main(arguments: Sequence[str]) -> None:
    place = arguments[0] if arguments else os.environ.get("ITA_PICTURES", "")
    count, pairs = (int(arguments[1]), int(arguments[2])) if len(arguments) > 2 else (32, PAIRS)
    if place and not Path(place).is_dir():
        sys.exit("usage: python -m benchmarks.extraction [FOLDER [PICTURES PAIRS]]")
    print(HEADER)
    for comparison in run(Path(place) if place else None, count, pairs):
        print(comparison, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
