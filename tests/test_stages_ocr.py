"""OCR with the real Tesseract."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from stages.base import Failure, FailureKind, Item, StageError
from stages.ocr import OcrConfig, OcrStage, OcrValue, one_thread_each


def written(*lines: str, size: tuple[int, int] = (640, 240), at: int = 20) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        place = (at, 20 + 90 * number)
        ImageDraw.Draw(picture).text(place, line, "black", ImageFont.load_default(size=48))
    return picture


def item(picture: Image.Image, name: str = "a.png") -> Item:
    return Item(name, name, lambda: picture)


def read(picture: Image.Image, **settings: object) -> OcrValue:
    (value,) = OcrStage(OcrConfig(**settings)).run([item(picture)])
    assert isinstance(value, OcrValue)
    return value


def test_words_come_with_confidence_box_and_line():
    value = read(written("WELCOME TO", "MARLOW 12 km"))
    assert [word.text for word in value.words] == ["WELCOME", "TO", "MARLOW", "12", "km"]
    assert [word.line for word in value.words] == [0, 0, 1, 1, 1]
    assert all(0.6 < word.confidence <= 1 for word in value.words)
    for word in value.words:
        x0, y0, x1, y1 = word.box
        assert 0 <= x0 < x1 <= value.width == 640
        assert 0 <= y0 < y1 <= value.height == 240
    assert value.words[0].box[1] < value.words[2].box[1]


def test_boxes_are_in_pixels_of_the_picture_as_it_came():
    large = written("MARLOW IS", size=(1600, 300), at=800)
    box = read(large, max_side=1200).words[0].box
    assert 790 < box[0] < 815


def test_several_pictures_keep_their_order():
    pictures = [written(word) for word in ("ONE", "TWO", "THREE", "FOUR", "FIVE")]
    values = OcrStage(OcrConfig(workers=3)).run([item(picture) for picture in pictures])
    assert [value.words[0].text for value in values] == ["ONE", "TWO", "THREE", "FOUR", "FIVE"]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 2000), (2000, 1), (50, 50)])
def test_pictures_without_text_have_no_words(size: tuple[int, int]):
    (value,) = OcrStage(OcrConfig()).run([item(Image.new("RGB", size, "white"))])
    assert isinstance(value, Failure) or value.words == ()


def test_a_time_out_is_a_failure_of_resources_and_no_empty_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stuck = tmp_path / "tesseract"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (result,) = OcrStage(OcrConfig(timeout=1)).run([item(written("MARLOW"))])
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.RESOURCE


def test_the_key_has_tesseract_and_its_language_files():
    identity = OcrStage(OcrConfig()).identity()
    assert set(identity.tools) == {"tesseract", "eng.traineddata"}
    assert len(identity.tools["eng.traineddata"]) == 64


def test_a_language_that_is_not_installed_is_named_with_its_package():
    with pytest.raises(StageError, match="has no language xyz") as caught:
        OcrStage(OcrConfig(languages="eng+xyz")).identity()
    assert "apt-get install tesseract-ocr-xyz" in caught.value.hint


def test_without_tesseract_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StageError, match="Tesseract is not installed") as caught:
        OcrStage(OcrConfig()).identity()
    assert "apt-get install tesseract-ocr" in caught.value.hint


@pytest.mark.parametrize("settings", [{"languages": "eng; rm -rf /"}, {"page_mode": 0}, {"timeout": 0}])
def test_settings_that_would_reach_a_command_line_are_checked(settings: dict[str, object]):
    with pytest.raises(ValidationError):
        OcrConfig(**settings)


def test_the_thread_limit_is_taken_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    with one_thread_each():
        assert os.environ["OMP_THREAD_LIMIT"] == "1"
    assert "OMP_THREAD_LIMIT" not in os.environ
