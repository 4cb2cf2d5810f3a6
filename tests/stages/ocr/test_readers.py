"""Which lines are read once and which twice, with a reader that only counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from stages.ocr.readers import TextLines, WholePages
from stages.ocr.tesseract import ArithmeticCrashError, TableWord
from tests.stages.ocr.test_line_crops import on_leaves
from tests.stages.ocr.test_stage import written


class Counting:
    """Says the same of every image, and remembers how many it was shown each time."""

    def __init__(self, text: str, confidence: float) -> None:
        self.word = TableWord(text, confidence, (12, 12, 60, 40), (1, 1, 1))
        self.seen: list[int] = []

    def __call__(self, images: Sequence[Image.Image], arguments: Sequence[str]) -> list[list[TableWord]]:
        self.seen.append(len(images))
        return [[self.word] for _ in images]


class Breaking(Counting):
    """As a Tesseract that one line breaks, unless it is read raw."""

    def __call__(self, images: Sequence[Image.Image], arguments: Sequence[str]) -> list[list[TableWord]]:
        raw = "13" in arguments
        if not raw and any(image.width == self.breaking for image in images):
            raise ArithmeticCrashError("SIGFPE")
        return [[self.word._replace(text="RAW" if raw else self.word.text)] for _ in images]

    breaking = 0


def meme() -> Image.Image:
    grey, _ = on_leaves("WELCOME TO MARLOW")
    return Image.fromarray(np.asarray(grey)).convert("RGB")


def test_lines_on_plain_ground_are_read_once():
    recognise = Counting("MARLOW", 0.9)
    lines = TextLines().prepare(written("WELCOME TO", "MARLOW"))
    ((word, *_),) = TextLines().read([lines], recognise)
    assert recognise.seen == [len(lines)]
    assert word.confidence == 0.9


def test_restless_ground_is_read_again_if_there_was_something():
    lines = TextLines().prepare(meme())
    assert lines
    told = Counting("MARLOW", 0.9)
    ((word, *_),) = TextLines().read([lines], told)
    assert told.seen[1] == sum(not line.is_plain for line in lines) > 0
    assert word.confidence == 0.99

    for silent in (Counting("MARLOW", 0.1), Counting("|", 0.9)):
        ((word, *_),) = TextLines().read([lines], silent)
        assert len(silent.seen) == 1
        assert word.confidence < silent.word.confidence


def test_words_come_back_to_their_pictures():
    pictures = [written("MARLOW"), Image.new("RGB", (80, 80), "white"), written("WELCOME TO", "MARLOW")]
    lines = [TextLines().prepare(picture) for picture in pictures]
    recognise = Counting("MARLOW", 0.9)
    found = TextLines().read(lines, recognise)
    assert recognise.seen[0] == sum(map(len, lines))
    assert [len({word.line for word in words}) for words in found] == [1, 0, 2]


def test_the_line_that_breaks_tesseract_is_read_raw_and_its_neighbours_as_ever():
    lines = TextLines().prepare(written("MARLOW", "WELCOME TO"))
    widths = [line.gray.shape[1] for line in lines]
    assert len(set(widths)) == len(lines) > 1
    for number, width in enumerate(widths):
        recognise = Breaking("READ", 0.9)
        recognise.breaking = width
        (words,) = TextLines().read([lines], recognise)
        texts = [word.text for word in words]
        assert texts == ["RAW" if place == number else "READ" for place in range(len(lines))]


def test_pages_are_read_as_they_are():
    recognise = Counting("MARLOW", 0.1)
    picture = written("MARLOW")
    ((word,),) = WholePages(6).read([WholePages(6).prepare(picture)], recognise)
    assert (word.text, word.confidence, word.box, word.line) == ("MARLOW", 0.1, (12, 12, 60, 40), 0)
