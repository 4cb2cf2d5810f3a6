"""Two ways of reading pictures with Tesseract: each as a whole page, or line by line.

Tesseract's own search for text is made for pages: in photos it finds little, and of white captions next to nothing.
Hence lines are proposed by OpenCV, cut out and read one by one, those on restless ground twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from stages.ocr.schema import Word
from stages.ocr.tesseract import ArithmeticCrashError, TableWord
from stages.ocr.words import agreed, sorted_for_reading, strongest

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.ocr.line_crops import LineCrop


# Letters are dark on light in every crop, so that Tesseract need not try the negative.
ONE_LINE = ("--psm", "7", "-c", "tessedit_do_invert=0")

# Without Tesseract's search for letters within the line, which a few lines break.
RAW_LINE = ("--psm", "13", "-c", "tessedit_do_invert=0")

# A first reading below this is not worth a second one.
PROMISING = 0.3

LETTERS = 2


# Tesseract's words in each of some images, which one process reads, with arguments of its own.
Recognise = Callable[[Sequence["Image"], Sequence[str]], list[list[TableWord]]]


class Reader(Protocol):
    """A way of reading: `prepare` each picture, then `read` several together, since starting Tesseract is dear.

    Words are in pixels of the pictures given and in reading order.
    """

    def prepare(self, picture: Image) -> Any: ...

    def pixels(self, prepared: Any) -> int:
        """How many Tesseract will see of it."""
        ...

    def read(self, prepared: Sequence[Any], recognise: Recognise) -> list[list[Word]]: ...


class WholePages:
    """Each picture at once, in a page mode of Tesseract."""

    def __init__(self, page_mode: int) -> None:
        self.arguments = ("--psm", str(page_mode))

    def prepare(self, picture: Image) -> Image:
        return picture

    def pixels(self, prepared: Image) -> int:
        return prepared.width * prepared.height

    def read(self, prepared: Sequence[Image], recognise: Recognise) -> list[list[Word]]:
        return [sorted_for_reading(as_words(table)) for table in recognise(prepared, self.arguments)]


class TextLines:
    """Line by line. A line on restless ground is read wiped, and if that says anything, grey as well."""

    def prepare(self, picture: Image) -> list[LineCrop]:
        import numpy as np

        from stages.ocr.line_crops import cut
        from stages.ocr.text_regions import text_lines

        grey = np.asarray(picture.convert("L"))
        crops = (cut(grey, box) for box in text_lines(grey))
        return [crop for crop in crops if crop is not None]

    def pixels(self, prepared: list[LineCrop]) -> int:
        return sum(crop.grey.size for crop in prepared)

    def read(self, prepared: Sequence[list[LineCrop]], recognise: Recognise) -> list[list[Word]]:
        crops = [crop for lines in prepared for crop in lines]
        first = read_crops(crops, [crop.plain for crop in crops], recognise)
        doubtful = [n for n, words in enumerate(first) if not crops[n].plain and is_promising(words)]
        second = read_crops([crops[n] for n in doubtful], [True] * len(doubtful), recognise)
        others = dict(zip(doubtful, second, strict=True))
        by_line = iter(
            words if crop.plain else agreed(others.get(n, []), words)
            for n, (crop, words) in enumerate(zip(crops, first, strict=True))
        )
        return [in_picture([next(by_line) for _ in lines]) for lines in prepared]


def read_crops(crops: Sequence[LineCrop], grey: Sequence[bool], recognise: Recognise) -> list[list[Word]]:
    """The words of each crop, in pixels of the picture; grey ones are read as they are, the others wiped."""
    from PIL import Image

    images = [Image.fromarray(crop.grey if as_is else crop.wiped) for crop, as_is in zip(crops, grey, strict=True)]
    return [
        [word.model_copy(update={"box": crop.back(word.box)}) for word in as_words(table)]
        for crop, table in zip(crops, recognised(images, recognise), strict=True)
    ]


def recognised(lines: Sequence[Image], recognise: Recognise) -> list[list[TableWord]]:
    """Tesseract's words in each line; the line that breaks it is found by halving, and read as it can be."""
    try:
        return recognise(lines, ONE_LINE)
    except ArithmeticCrashError:
        if len(lines) == 1:
            return recognise(lines, RAW_LINE)
        half = len(lines) // 2
        return [*recognised(lines[:half], recognise), *recognised(lines[half:], recognise)]


def is_promising(words: Sequence[Word]) -> bool:
    return any(
        word.confidence >= PROMISING and sum(character.isalnum() for character in word.text) >= LETTERS
        for word in words
    )


def in_picture(lines: Sequence[Sequence[Word]]) -> list[Word]:
    """Words of all lines without those that were found in two of them."""
    words = [word.model_copy(update={"line": number}) for number, line in enumerate(lines) for word in line]
    return sorted_for_reading(strongest(words))


def as_words(table: Sequence[TableWord]) -> list[Word]:
    """Lines are numbered in the order of their first words."""
    lines: dict[tuple[int, int, int], int] = {}
    return [
        Word(text=row.text, confidence=row.confidence, box=row.box, line=lines.setdefault(row.line, len(lines)))
        for row in table
    ]
