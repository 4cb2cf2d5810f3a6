"""Settings and values of the stage `ocr`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.base import (
    EXECUTION,
    SEMANTIC,
    Frozen,
    StageConfig,
    Value,
)
from stages.ocr.text_regions import Box

PageMode = Annotated[int, Field(ge=3, le=13)]


class OcrConfig(StageConfig):
    engine: Annotated[Literal["tesseract", "rapidocr"], SEMANTIC] = "tesseract"
    languages: Annotated[str, SEMANTIC, Field(pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$")] = "eng"
    # `lines`, or a page mode as in tesseract --help-psm
    page_mode: Annotated[Literal["lines"] | PageMode, SEMANTIC] = "lines"
    max_side: Annotated[int, SEMANTIC, Field(ge=64)] = 2400
    timeout: Annotated[int, EXECUTION, Field(ge=1)] = 120
    memory: Annotated[int, EXECUTION, Field(ge=64)] = 2048  # megabytes for each Tesseract
    workers: Annotated[int, EXECUTION, Field(ge=0)] = 0


class Word(Frozen):
    """`box` is xyxy in pixels of the upright picture, `confidence` in 0..1, `line` counts from 0."""

    text: str
    confidence: float
    box: Box
    line: int


class OcrValue(Value):
    width: int
    height: int
    words: tuple[Word, ...]
