"""Settings and values of the stage `ocr`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.base import EXECUTION, SEMANTIC, Frozen, StageConfig, Value

# xyxy in pixels.
Box = tuple[int, int, int, int]

PageMode = Annotated[int, Field(ge=3, le=13)]


class OcrConfig(StageConfig):
    """Settings of the stage.

    Attributes:
        engine: The OCR engine.
        languages: Tesseract's languages, joined by `+`.
        page_mode: `lines` for reading line by line, or a page mode of `tesseract --help-psm`.
        max_side: Maximum side of the image in pixels; larger images are reduced.
        timeout: Timeout of a Tesseract process in seconds.
        memory: Memory limit of a Tesseract process in megabytes.
        workers: Number of Tesseract processes at once, or of RapidOCR's threads; 0 for all cores.
    """

    engine: Annotated[Literal["tesseract", "rapidocr"], SEMANTIC] = "tesseract"
    languages: Annotated[str, SEMANTIC, Field(pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$")] = "eng"
    page_mode: Annotated[Literal["lines"] | PageMode, SEMANTIC] = "lines"
    max_side: Annotated[int, SEMANTIC, Field(ge=64)] = 2400
    timeout: Annotated[int, EXECUTION, Field(ge=1)] = 120
    memory: Annotated[int, EXECUTION, Field(ge=64)] = 2048
    workers: Annotated[int, EXECUTION, Field(ge=0)] = 0

    @property
    def uses_rapidocr(self) -> bool:
        """Whether the engine is RapidOCR."""
        return self.engine == "rapidocr"


class Word(Frozen):
    """A word. `box` is xyxy in pixels of the upright image, `confidence` in 0..1, `line` counts from 0."""

    text: str
    confidence: float
    box: Box
    line: int


class OcrValue(Value):
    """The words in an image of this size in pixels, in reading order."""

    width: int
    height: int
    words: tuple[Word, ...]
