"""Which lines are read once and which twice, with a reader that only counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from stages.ocr.line_crops import LineCrop
from stages.ocr.readers import TextLines, WholePages
from stages.ocr.schema import Word
from stages.ocr.tesseract import ArithmeticCrashError
from tests.support.texts import on_leaves, written


class Counting:
    """Says the same of every image, and remembers how many it was shown each time."""

    def __init__(self, text: str, confidence: float) -> None:
        self.word = Word(text=text, confidence=confidence, box=(12, 12, 60, 40), line=0)
        self.seen: list[int] = []

    def __call__(self, images: Sequence[Image.Image], arguments: Sequence[str]) -> list[list[Word]]:
        self.seen.append(len(images))
        return [[self.word] for _ in images]


class Breaking(Counting):
    """As a Tesseract that one line breaks, unless it is read raw."""

    def __call__(self, images: Sequence[Image.Image], arguments: Sequence[str]) -> list[list[Word]]:
        raw = "13" in arguments
        if not raw and any(image.width == self.breaking for image in images):
            raise ArithmeticCrashError("SIGFPE")
        return [[self.word.model_copy(update={"text": "RAW" if raw else self.word.text})] for _ in images]

    breaking = 0


def meme() -> Image.Image:
    grey, _ = on_leaves("WELCOME TO MARLOW")
    return Image.fromarray(np.asarray(grey)).convert("RGB")


def find_lines(picture: Image.Image) -> list[LineCrop]:
    lines, pixels = TextLines().prepare(picture)
    assert pixels == sum(line.gray.size for line in lines)
    return lines


def test_lines_on_a_plain_background_are_read_once():
    recognize = Counting("MARLOW", 0.9)
    lines = find_lines(written("WELCOME TO", "MARLOW"))
    ((word, *_),) = TextLines().read([lines], recognize)
    assert recognize.seen == [len(lines)]
    assert word.confidence == 0.9


def test_a_line_on_a_restless_background_is_read_again_if_it_has_words():
    lines = find_lines(meme())
    assert lines
    told = Counting("MARLOW", 0.9)
    ((word, *_),) = TextLines().read([lines], told)
    assert told.seen[1] == sum(not line.is_plain for line in lines) > 0
    assert word.confidence == 0.99

    for silent in (Counting("MARLOW", 0.1), Counting("|", 0.9)):
        ((word, *_),) = TextLines().read([lines], silent)
        assert len(silent.seen) == 1
        assert word.confidence < silent.word.confidence


def test_words_belong_to_their_picture():
    pictures = [written("MARLOW"), Image.new("RGB", (80, 80), "white"), written("WELCOME TO", "MARLOW")]
    lines = [find_lines(picture) for picture in pictures]
    recognize = Counting("MARLOW", 0.9)
    found = TextLines().read(lines, recognize)
    assert recognize.seen[0] == sum(map(len, lines))
    assert [len({word.line for word in words}) for words in found] == [1, 0, 2]


def test_only_the_line_that_crashes_tesseract_is_read_raw():
    lines = find_lines(written("MARLOW", "WELCOME TO"))
    widths = [line.gray.shape[1] for line in lines]
    assert len(set(widths)) == len(lines) > 1
    for number, width in enumerate(widths):
        recognize = Breaking("READ", 0.9)
        recognize.breaking = width
        (words,) = TextLines().read([lines], recognize)
        texts = [word.text for word in words]
        assert texts == ["RAW" if place == number else "READ" for place in range(len(lines))]


def test_whole_pages_are_read_unchanged():
    recognize = Counting("MARLOW", 0.1)
    picture = written("MARLOW")
    prepared, pixels = WholePages(6).prepare(picture)
    assert pixels == picture.width * picture.height
    ((word,),) = WholePages(6).read([prepared], recognize)
    assert (word.text, word.confidence, word.box, word.line) == ("MARLOW", 0.1, (12, 12, 60, 40), 0)
