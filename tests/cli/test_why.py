"""`ita why`: a stranger learns what is known of a picture, where it lies, and what has changed since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fakes import draw, ita

BUNDLED = ["--preset", "bundled", "--stage", "ocr"]


@pytest.fixture(autouse=True)
def picture():
    draw(Path("images/a.png"))


def test_before_anything_was_done_there_is_no_record():
    answer = ita("why", "images/a.png", *BUNDLED)
    assert answer.code == 0, answer.err
    assert "ocr: stale\n  because  new image\n  record   none under any key" in answer.out


def test_the_record_is_where_it_says_and_is_what_it_says():
    ita("extract", "images", *BUNDLED)
    found = json.loads(ita("why", "images/a.png", *BUNDLED, "--json").out)
    assert found["schema"] == "ita.why/1"
    (ocr,) = found["stages"]
    assert (ocr["state"], ocr["reasons"]) == ("fresh", [])
    place = ocr["record"]
    line = Path(place["segment"]).read_text().splitlines()[place["line"] - 1]
    assert json.loads(line) == place["content"]
    assert place["content"]["image"] == found["image"]
    assert ocr["components"]["parameters"]["page_mode"] == "lines"


def test_a_changed_setting_is_the_reason_and_the_older_record_is_shown():
    ita("extract", "images", *BUNDLED)
    answer = ita("why", "images/a.png", *BUNDLED, "--set", "ocr.max_side=1200")
    assert "ocr: stale\n  because  parameter max_side 2400 → 1200\n  older " in answer.out
    assert "parameter max_side = 1200" in answer.out


def test_a_failure_says_its_reason():
    Path("images/text.jpg").write_text("no picture")
    ita("extract", "images", *BUNDLED)
    answer = ita("why", "images/text.jpg", *BUNDLED)
    assert "ocr: failed\n  because  not a picture" in answer.out


def test_what_is_no_picture_is_told():
    answer = ita("why", "images", *BUNDLED)
    assert answer.code == 2
    assert "there is no picture images" in answer.err
