"""Words by RapidOCR: PaddleOCR's detector and recognizer in ONNX Runtime, with weights in the package.

It finds far more words in photos than Tesseract, and takes far longer (docs/ocr.md has the numbers of both). It is
optional: `pip install 'ita-pipeline[rapidocr]'`. (https://github.com/RapidAI/RapidOCR)
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages.base import Identity, StageError
from stages.models.libraries import package_version
from stages.ocr.readers import Recognize
from stages.ocr.schema import Word
from stages.ocr.words import sort_for_reading

PACKAGES = ("rapidocr", "onnxruntime")

MAX_ASPECT_RATIO = 8


def find_weights() -> list[Path]:
    """Return the model files of the package.

    Raises:
        StageError: RapidOCR or its runtime is not installed, or has no weights.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            message = f"ocr.engine is rapidocr, and {package} is not installed"
            raise StageError(message, "pip install 'ita-pipeline[rapidocr]'")
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    files = sorted((Path(spec.origin).parent / "models").glob("*.onnx"))
    if not files:
        raise StageError("rapidocr came without its weights", "pip install --force-reinstall rapidocr")
    return files


def identify_rapidocr() -> Identity:
    """Return the weights and the version of RapidOCR.

    Raises:
        StageError: RapidOCR or its runtime is not installed.
    """
    models = {path.stem: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in find_weights()}
    return Identity(models=models, tools={"rapidocr": package_version("rapidocr")})


class RapidReader:
    """An `OcrReader` that reads images one by one, without Tesseract."""

    def __init__(self, threads: int) -> None:
        find_weights()
        settings = {
            "Global.text_score": 0.0,  # contexts are filtered when they are rendered
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
        self.engine: Any = importlib.import_module("rapidocr").RapidOCR(params=settings)

    def prepare(self, image: Image.Image) -> tuple[Image.Image, int]:
        """Return the image, and its number of pixels.

        An elongated image gets a white border at the right or bottom, where it moves no box.

        RapidOCR enlarges an image until its shorter side has 736 pixels: one of 1×500 would take all memory.
        """
        min_side = max(image.size) // MAX_ASPECT_RATIO
        if min(image.size) < min_side:
            padded = Image.new("RGB", (max(image.width, min_side), max(image.height, min_side)), "white")
            padded.paste(image, (0, 0))
            image = padded
        return image, image.width * image.height

    def read(self, prepared: Sequence[Image.Image], recognize: Recognize) -> list[list[Word]]:
        """Return the words of each image."""
        # RapidOCR takes arrays in OpenCV's order, blue first.
        results = (self.engine(np.asarray(image)[:, :, ::-1], return_word_box=True) for image in prepared)
        return [sort_for_reading(convert_result(result)) for result in results]


def convert_result(result: Any) -> Iterator[Word]:
    """Return the words of RapidOCR's lines of (text, score, four corners)."""
    # A result without boxes still has an empty line.
    lines: Iterable[Any] = () if result.boxes is None else result.word_results
    for number, line in enumerate(lines):
        for text, score, corners in line:
            if text.strip() and corners is not None:
                xs, ys = [round(float(x)) for x, _ in corners], [round(float(y)) for _, y in corners]
                yield Word(
                    text=text.strip(),
                    confidence=round(min(1.0, max(0.0, float(score))), 4),
                    box=(min(xs), min(ys), max(xs), max(ys)),
                    line=number,
                )
