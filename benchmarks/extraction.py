"""Extraction beside the loop that a user writes, on the example's pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytesseract
from PIL import Image

from benchmarks.timing import Comparison, compare
from ita_pipeline import pipeline
from ita_pipeline.settings import project_folder

PICTURES = 16


def run() -> Iterator[Comparison]:
    pictures = sorted((project_folder("examples") / "posts" / "images").iterdir())[:PICTURES]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        images = here / "images"
        images.mkdir()
        for picture in pictures:
            (images / picture.name).write_bytes(picture.read_bytes())

        def cold() -> None:
            with tempfile.TemporaryDirectory() as workspace:
                ocr(images, Path(workspace))

        def loop() -> None:
            for picture in pictures:
                pytesseract.image_to_data(Image.open(picture), config="--psm 11")

        yield compare(f"OCR of {PICTURES} pictures, a pytesseract loop", cold, loop, pairs=3)
        ocr(images, here)
        yield compare(
            f"OCR of {PICTURES} pictures again, unchanged, the loop", lambda: ocr(images, here), loop, pairs=3
        )


def ocr(images: Path, workspace: Path) -> None:
    pipeline.extract(images, pipeline.Options(preset="bundled", stages=("ocr",), workspace=workspace))
