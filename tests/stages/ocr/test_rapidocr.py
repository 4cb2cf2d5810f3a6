"""OCR by RapidOCR where it is installed, and what is said where it is not."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from PIL import Image

from stages.base import StageError
from stages.ocr import rapidocr as rapid
from stages.ocr.schema import OcrConfig
from stages.ocr.stage import OcrStage
from tests.support.texts import item, read, written

INSTALLED = all(importlib.util.find_spec(package) for package in rapid.PACKAGES)
installed = pytest.mark.skipif(not INSTALLED, reason="rapidocr is not installed")


def test_a_missing_rapidocr_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.ocr.rapidocr.importlib.util.find_spec", lambda package: None)
    with pytest.raises(StageError, match="rapidocr is not installed") as caught:
        OcrStage(OcrConfig(engine="rapidocr")).identity()
    assert caught.value.hint == "pip install 'ita-pipeline[rapidocr]'"


def test_settings_of_tesseract_are_not_part_of_the_key():
    plain = OcrStage(OcrConfig(engine="rapidocr"))
    assert plain.parameters() == {"engine": "rapidocr", "max_side": 2400}
    assert OcrStage(OcrConfig(engine="rapidocr", page_mode=6, languages="deu")).parameters() == plain.parameters()
    assert {"languages", "page_mode"} <= set(OcrStage(OcrConfig()).parameters())


def test_corners_become_boxes_and_blanks_are_skipped():
    corners = [[10.4, 20.2], [50.6, 18.9], [51.0, 40.0], [9.8, 41.7]]
    line = (("MARLOW", 0.98765, corners), (" ", 0.9, corners), ("FC", 1.1, None))
    (word,) = rapid.convert_result(SimpleNamespace(boxes=[corners], word_results=(line,)))
    assert (word.text, word.confidence, word.box, word.line) == ("MARLOW", 0.9877, (10, 19, 51, 42), 0)
    assert list(rapid.convert_result(SimpleNamespace(boxes=None, word_results=(("", 1.0, None),)))) == []


@installed
def test_words_have_boxes_within_the_picture():
    value = read(written("WELCOME TO", "MARLOW 12 km"), engine="rapidocr")
    assert [word.text for word in value.words] == ["WELCOME", "TO", "MARLOW", "12", "km"]
    assert [word.line for word in value.words] == [0, 0, 1, 1, 1]
    for word in value.words:
        x0, y0, x1, y1 = word.box
        assert 0 <= x0 < x1 <= value.width
        assert 0 <= y0 < y1 <= value.height


@installed
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 500), (64, 64)])
def test_pictures_without_text_have_no_words(size: tuple[int, int]):
    (value,) = OcrStage(OcrConfig(engine="rapidocr")).run([item(Image.new("RGB", size, "white"))])
    assert value.words == ()


@installed
def test_the_key_has_the_weights():
    identity = OcrStage(OcrConfig(engine="rapidocr")).identity()
    assert set(identity.tools) == {"rapidocr"}
    assert len(identity.models) >= 2
    assert all(digest.startswith("sha256:") for digest in identity.models.values())
