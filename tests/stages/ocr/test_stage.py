"""OCR with the real Tesseract."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from stages.base import BadItemError, Failure, FailureKind, Item, StageError
from stages.ocr.schema import OcrConfig
from stages.ocr.stage import OcrStage
from tests.support.texts import item, read, written


def test_words_have_confidence_box_and_line():
    value = read(written("WELCOME TO", "MARLOW 12 km"))
    assert [word.text for word in value.words] == ["WELCOME", "TO", "MARLOW", "12", "km"]
    assert [word.line for word in value.words] == [0, 0, 1, 1, 1]
    assert all(0.6 < word.confidence <= 1 for word in value.words)
    for word in value.words:
        x0, y0, x1, y1 = word.box
        assert 0 <= x0 < x1 <= value.width == 640
        assert 0 <= y0 < y1 <= value.height == 240
    assert value.words[0].box[1] < value.words[2].box[1]


def test_boxes_are_in_pixels_of_the_original_picture():
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


def test_a_timeout_is_a_failure_and_not_an_empty_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stuck = tmp_path / "tesseract"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (result,) = OcrStage(OcrConfig(timeout=1)).run([item(written("MARLOW"))])
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.RESOURCE


def test_the_key_has_tesseract_its_languages_and_opencv():
    identity = OcrStage(OcrConfig()).identity()
    assert set(identity.tools) == {"tesseract", "eng.traineddata", "opencv"}
    assert len(identity.tools["eng.traineddata"]) == 64
    assert set(OcrStage(OcrConfig(page_mode=3)).identity().tools) == {"tesseract", "eng.traineddata"}


def test_a_missing_language_is_an_error_with_its_package():
    with pytest.raises(StageError, match="has no language xyz") as caught:
        OcrStage(OcrConfig(languages="eng+xyz")).identity()
    assert "apt-get install tesseract-ocr-xyz" in caught.value.hint


def test_a_missing_tesseract_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StageError, match="Tesseract is not installed") as caught:
        OcrStage(OcrConfig()).identity()
    assert "apt-get install tesseract-ocr" in caught.value.hint


@pytest.mark.parametrize("settings", [{"languages": "eng; rm -rf /"}, {"page_mode": 0}, {"timeout": 0}])
def test_settings_for_the_command_line_are_validated(settings: dict[str, object]):
    with pytest.raises(ValidationError):
        OcrConfig(**settings)


# -- pictures that are read together


MARK = b"HOSTILE!"


def hostile() -> Image.Image:
    """Bears a mark in its pixels, which stay as they are in page modes."""
    picture = written("MARLOW")
    picture.paste(Image.frombytes("L", (len(MARK), 1), MARK), (0, 0))
    return picture


@pytest.fixture
def dies_of_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A Tesseract that comes to a bad end if it is shown the mark; it writes down how often it was started."""
    real = shutil.which("tesseract")

    def put(end: str) -> Path:
        (tmp_path / "tesseract").write_text(
            f"""#!/bin/sh
            echo started >>{tmp_path}/starts
            if grep -aq 'HHHOOOSSSTTTIIILLLEEE!!!' "$1"; then {end}; fi
            exec {real} "$@"
            """
        )
        (tmp_path / "tesseract").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return tmp_path / "starts"

    return put


@pytest.mark.parametrize(
    ("end", "kind", "timeout"),
    [
        ("kill -SEGV $$", FailureKind.RESOURCE, 60),
        ("exec sleep 60", FailureKind.RESOURCE, 5),
        ("exit 1", FailureKind.TRANSIENT, 60),
    ],
)
def test_only_the_picture_at_fault_fails_of_those_read_together(
    dies_of_the_mark: Callable[[str], Path], end: str, kind: FailureKind, timeout: int
):
    starts = dies_of_the_mark(end)
    pictures = [written("ONE"), hostile(), written("THREE"), written("FOUR")]
    stage = OcrStage(OcrConfig(page_mode=6, workers=1, timeout=timeout))
    one, culprit, three, four = stage.run([item(picture) for picture in pictures])
    assert isinstance(culprit, Failure)
    assert culprit.kind == kind
    assert [value.words[0].text for value in (one, three, four)] == ["ONE", "THREE", "FOUR"]
    assert len(starts.read_text().split()) == 5


def test_one_process_reads_several_pictures(dies_of_the_mark: Callable[[str], Path]):
    starts = dies_of_the_mark("exit 1")
    pictures = [written(word) for word in ("ONE", "TWO", "THREE", "FOUR")]
    values = OcrStage(OcrConfig(page_mode=6, workers=1)).run([item(picture) for picture in pictures])
    assert [value.words[0].text for value in values] == ["ONE", "TWO", "THREE", "FOUR"]
    assert len(starts.read_text().split()) == 1


def test_a_picture_that_cannot_be_opened_does_not_affect_others():
    def broken() -> Image.Image:
        raise BadItemError("not a picture")

    items = [item(written("ONE")), Item("b", "b.png", broken), item(written("THREE"))]
    one, two, three = OcrStage(OcrConfig(workers=1)).run(items)
    assert isinstance(two, Failure)
    assert two.reason == "not a picture"
    assert [value.words[0].text for value in (one, three)] == ["ONE", "THREE"]


@pytest.mark.parametrize("settings", [{}, {"page_mode": 6}])
def test_pictures_read_together_equal_pictures_read_alone(settings: dict[str, object]):
    pictures = [
        written("WELCOME TO", "MARLOW"),
        written("12 km"),
        Image.new("RGB", (90, 90), "red"),
        written("ONE"),
    ]
    together = OcrStage(OcrConfig(workers=1, **settings)).run([item(picture) for picture in pictures])
    assert together == [read(picture, **settings) for picture in pictures]


def test_a_picture_that_was_saved_in_another_format_is_read():
    picture = written("MARLOW")
    for kind in ("PNG", "JPEG"):
        picture.save(io.BytesIO(), kind)
    assert [word.text for word in read(picture, page_mode=6).words] == ["MARLOW"]


def test_long_lines_of_small_print_are_read():
    font, said = ImageFont.load_default(size=15), "the quick brown fox jumps over the lazy dog " * 7
    picture = Image.new("RGB", (round(font.getlength(said)) + 40, 60), "white")
    ImageDraw.Draw(picture).text((20, 20), said, "black", font)
    assert picture.width > 1800
    words = [word.text.lower() for word in read(picture).words]
    assert len([word for word in words if word in said.split()]) >= 40


def test_white_captions_on_a_photo_are_read():
    blots = np.random.default_rng(0).normal(128, 40, (40, 60)).clip(0, 255).astype(np.uint8)
    photo = Image.fromarray(blots).resize((600, 400), Image.Resampling.BICUBIC).convert("RGB")
    for text, y in (("MEET ME IN", 20), ("MARLOW", 320)):
        font = ImageFont.load_default(size=54)
        ImageDraw.Draw(photo).text((120, y), text, "white", font, stroke_width=4, stroke_fill="black")
    sure = [word.text for word in read(photo).words if word.confidence >= 0.6]
    # Whether the narrow space between ME and IN is one, Tesseract's readings do not agree on.
    assert "".join(sure) == "MEETMEINMARLOW"
    assert {"MEET", "MARLOW"} <= set(sure)
