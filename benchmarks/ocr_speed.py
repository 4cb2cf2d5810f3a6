"""OCR beside the loop that a user writes: `python -m benchmarks.ocr_speed FOLDER` (or `ITA_OCR_PICTURES`).

FOLDER holds pictures, such as those of tweets. The loop is pytesseract with its defaults, one picture after the
other; both open the same files, in turn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytesseract
from PIL import Image

from benchmarks.timing import HEADER, Comparison, compare
from stages.base import Failure, Item
from stages.ocr.schema import OcrConfig
from stages.ocr.stage import OcrStage

PICTURES = 32
PAIRS = 3


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def items_of(paths: Sequence[Path]) -> list[Item]:
    return [Item(path.name, path.name, lambda path=path: opened(path)) for path in paths]


def by_stage(paths: Sequence[Path], **settings: object) -> None:
    """
    Raises:
        RuntimeError: a picture failed, so that the time would flatter.
    """
    stage = OcrStage(OcrConfig.model_validate(settings))
    items = items_of(paths)
    for start in range(0, len(items), stage.batch_size):
        for value in stage.run(items[start : start + stage.batch_size]):
            if isinstance(value, Failure):
                raise RuntimeError(value.reason)


def by_loop(paths: Sequence[Path]) -> None:
    pytesseract.pytesseract.tesseract_cmd = "tesseract"  # the stage sets its guard
    for path in paths:
        pytesseract.image_to_string(opened(path))


def run(folder: Path, count: int = PICTURES) -> Iterator[Comparison]:
    """`count` pictures, evenly chosen from the folder."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    paths = found[:: max(1, len(found) // count)][:count]
    for name, settings in (
        ("line by line", {}),
        ("page mode 11", {"page_mode": 11}),
        ("page mode 3", {"page_mode": 3}),
    ):
        title = f"{len(paths)} pictures {name}, a pytesseract loop"
        yield compare(title, lambda settings=settings: by_stage(paths, **settings), lambda: by_loop(paths), PAIRS)


def main(arguments: Sequence[str]) -> None:
    place = arguments[0] if arguments else os.environ.get("ITA_OCR_PICTURES", "")
    if not place or not Path(place).is_dir():
        sys.exit("usage: python -m benchmarks.ocr_speed FOLDER, which holds pictures")
    print(HEADER)
    for comparison in run(Path(place)):
        print(comparison, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
