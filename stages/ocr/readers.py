"""Two ways to read images with Tesseract: as whole pages, or line by line.

Tesseract's own text detection is made for pages: it finds little in photos, and almost nothing of white captions.
So OpenCV proposes lines, which are cut out and read one by one, those on a restless background twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from stages.batching import run_bisected
from stages.ocr.line_crops import LineCrop, crop_line
from stages.ocr.schema import Word
from stages.ocr.tesseract import ArithmeticCrashError
from stages.ocr.text_regions import find_text_lines
from stages.ocr.words import drop_overlapping, merge_readings, sort_for_reading

# Letters are dark on light in every crop, so Tesseract need not try the negative.
ONE_LINE = ("--psm", "7", "-c", "tessedit_do_invert=0")

# Without Tesseract's search for letters within the line, which crashes on a few lines.
RAW_LINE = ("--psm", "13", "-c", "tessedit_do_invert=0")

# A line is read a second time only if the first reading has a word of this confidence and length.
MIN_CONFIDENCE = 0.3

MIN_LETTERS = 2

# Returns Tesseract's words in each image; one process, with these arguments, reads all of them.
Recognize = Callable[[Sequence[Image.Image], Sequence[str]], list[list[Word]]]


class OcrReader(Protocol):
    """A way to read images: `prepare` each, then `read` several at once, since starting Tesseract is expensive."""

    def prepare(self, image: Image.Image) -> tuple[Any, int]:
        """Return the input of `read` for one image, and the number of pixels that the engine will process."""
        ...

    def read(self, prepared: Sequence[Any], recognize: Recognize) -> list[list[Word]]:
        """Return the words of each image in reading order, with boxes in pixels of the image."""
        ...


class WholePages:
    """Read each image at once, in a page mode of Tesseract."""

    def __init__(self, page_mode: int) -> None:
        self.arguments = ("--psm", str(page_mode))

    def prepare(self, image: Image.Image) -> tuple[Image.Image, int]:
        """Return the image unchanged, and its number of pixels."""
        return image, image.width * image.height

    def read(self, prepared: Sequence[Image.Image], recognize: Recognize) -> list[list[Word]]:
        """Return the words of each image."""
        return [sort_for_reading(words) for words in recognize(prepared, self.arguments)]


class TextLines:
    """Read line by line. A line on a restless background is read wiped, and if that gives words, gray as well."""

    def prepare(self, image: Image.Image) -> tuple[list[LineCrop], int]:
        """Return the lines of text in the image, and their number of pixels."""
        gray = np.asarray(image.convert("L"))
        crops = (crop_line(gray, box) for box in find_text_lines(gray))
        lines = [crop for crop in crops if crop is not None]
        return lines, sum(line.gray.size for line in lines)

    def read(self, prepared: Sequence[list[LineCrop]], recognize: Recognize) -> list[list[Word]]:
        """Return the words of each image."""
        crops = [crop for lines in prepared for crop in lines]
        readings = _read_crops(crops, [crop.is_plain for crop in crops], recognize)
        again = [n for n, words in enumerate(readings) if not crops[n].is_plain and _is_promising(words)]
        second = _read_crops([crops[n] for n in again], [True] * len(again), recognize)
        gray_readings = dict(zip(again, second, strict=True))
        merged = iter(
            words if crop.is_plain else merge_readings(gray_readings.get(number, []), words)
            for number, (crop, words) in enumerate(zip(crops, readings, strict=True))
        )
        return [_combine_lines([next(merged) for _ in lines]) for lines in prepared]


def _read_crops(crops: Sequence[LineCrop], use_gray: Sequence[bool], recognize: Recognize) -> list[list[Word]]:
    """Return the words of each crop, read gray or wiped, with boxes in pixels of the image."""
    pixels = [crop.gray if gray else crop.wiped for crop, gray in zip(crops, use_gray, strict=True)]
    images = [Image.fromarray(array) for array in pixels]
    readings = run_bisected(
        lambda lines: recognize(lines, ONE_LINE),
        images,
        lambda line, error: recognize([line], RAW_LINE)[0],
        ArithmeticCrashError,
    )
    return [
        [word.model_copy(update={"box": crop.map_back(word.box)}) for word in words]
        for crop, words in zip(crops, readings, strict=True)
    ]


def _is_promising(words: Sequence[Word]) -> bool:
    return any(
        word.confidence >= MIN_CONFIDENCE and sum(character.isalnum() for character in word.text) >= MIN_LETTERS
        for word in words
    )


def _combine_lines(lines: Sequence[Sequence[Word]]) -> list[Word]:
    """Return the words of all lines of an image, each once."""
    words = [word.model_copy(update={"line": number}) for number, line in enumerate(lines) for word in line]
    return sort_for_reading(drop_overlapping(words))
