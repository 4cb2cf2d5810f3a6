"""`ita cache`: what lies there is told, damage is found and mended, and tidying up loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes import draw, ita

BUNDLED = ["--preset", "bundled", "--stage", "ocr"]


@pytest.fixture(autouse=True)
def three_runs():
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
        draw(Path(f"images/{name}.png"), colour)
        assert ita("extract", "images", *BUNDLED).code == 0


def segments() -> list[Path]:
    return sorted(Path(".ita/cache").glob("*/*/*.jsonl"))


def fresh() -> int:
    return json.loads(ita("status", "images", *BUNDLED, "--json").out)["stages"][0]["fresh"]


def test_ls_tells_what_lies_there():
    (key,) = json.loads(ita("cache", "ls", "--json").out)["keys"]
    assert (key["stage"], key["values"], key["failures"], key["segments"]) == ("ocr", 3, 0, 3)
    assert key["bytes"] == sum(path.stat().st_size for path in segments())
    assert key["components"]["parameters"]["page_mode"] == "lines"
    assert ita("cache", "ls").out.splitlines()[1].split()[2:5] == ["3", "0", "3"]


def test_compact_brings_segments_together_and_loses_nothing():
    before = sorted(line for path in segments() for line in path.read_bytes().splitlines())
    answer = ita("cache", "compact")
    assert answer.code == 0, answer.err
    (one,) = segments()
    assert sorted(one.read_bytes().splitlines()) == before
    assert fresh() == 3
    assert "nothing to do" in ita("cache", "compact").err


def test_compact_leaves_out_what_was_replaced():
    ita("extract", "images", *BUNDLED, "--refresh", "ocr")
    assert len(segments()) == 4
    assert ita("cache", "compact").code == 0
    (one,) = segments()
    assert len(one.read_bytes().splitlines()) == 3
    ita("extract", "images", *BUNDLED, "--refresh", "ocr")
    assert {path.suffixes[-2] for path in segments()} == {".g2", ".g3"}


def test_damage_is_found_named_and_mended():
    damaged = segments()[0]
    damaged.write_bytes(damaged.read_bytes().replace(b'"words"', b'"sword"', 1))
    found = ita("cache", "verify")
    assert found.code == 4
    assert "3 lines in 3 segments, 1 damaged" in found.out
    assert f"damaged: {damaged}, line 1, of image" in found.err
    assert ita("cache", "compact").code == 4
    assert len(segments()) == 3
    assert ita("cache", "compact", "--drop-damaged").code == 0
    assert ita("cache", "verify").code == 0
    assert fresh() == 2
    assert ita("extract", "images", *BUNDLED).code == 0
    assert fresh() == 3
