"""Words by RapidOCR: PaddleOCR's detector and recogniser in ONNX Runtime, whose weights lie in the wheel.

It finds far more words in photos than Tesseract and takes far longer (docs/ocr.md has both). Optional:
`pip install 'ita-pipeline[rapidocr]'`. (https://github.com/RapidAI/RapidOCR)
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.base import Identity, StageError
from stages.models.libraries import package_version
from stages.ocr.schema import Word
from stages.ocr.words import sorted_for_reading

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.ocr.readers import Recognise


PACKAGES = ("rapidocr", "onnxruntime")

THINNEST = 8  # longer side / shorter side


def weights() -> list[Path]:
    """The model files of the package.

    Raises:
        StageError: RapidOCR or its runtime is not installed, or comes without weights.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            message = f"ocr.engine is rapidocr, and {package} is not installed"
            raise StageError(message, "pip install 'ita-pipeline[rapidocr]'")
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    found = sorted((Path(spec.origin).parent / "models").glob("*.onnx"))
    if not found:
        raise StageError("rapidocr came without its weights", "pip install --force-reinstall rapidocr")
    return found


def identity() -> Identity:
    """
    Raises:
        StageError: something is not installed.
    """
    models = {path.stem: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in weights()}
    return Identity(models=models, tools={"rapidocr": package_version("rapidocr")})


class RapidReader:
    """Reads pictures one after the other; Tesseract is not asked."""

    def __init__(self, threads: int) -> None:
        weights()
        settings = {
            "Global.text_score": 0.0,  # what is sure enough is decided where contexts are rendered
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
        self.engine: Any = importlib.import_module("rapidocr").RapidOCR(params=settings)

    def prepare(self, picture: Image) -> Image:
        """A thin picture gets a white border to the right or below, where it moves no box.

        RapidOCR enlarges until the shorter side has 736 pixels: one of 1 × 500 would take all memory there is.
        """
        from PIL import Image as Pillow

        least = max(picture.size) // THINNEST
        if min(picture.size) >= least:
            return picture
        wider = Pillow.new("RGB", (max(picture.width, least), max(picture.height, least)), "white")
        wider.paste(picture, (0, 0))
        return wider

    def pixels(self, prepared: Image) -> int:
        return prepared.width * prepared.height

    def read(self, prepared: Sequence[Image], recognise: Recognise) -> list[list[Word]]:
        import numpy as np

        # It takes arrays as OpenCV has them: blue first.
        said = (self.engine(np.asarray(picture)[:, :, ::-1], return_word_box=True) for picture in prepared)
        return [sorted_for_reading(words_in(result)) for result in said]


def words_in(result: Any) -> Iterator[Word]:
    """RapidOCR's lines of (text, score, four corners) as words."""
    # Without any it still has an empty line.
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
