"""Tests of commands that use a shared cache: where its address is set, and its maintenance."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.fakes import ita_here
from tests.support.s3_server import URL, Server, objects
from tests.support.s3_server import one_server as one_server  # a fixture
from tests.support.s3_server import server as server  # a fixture
from tests.support.shared_cache import OCR, count_done, draw_signs, extract


def test_the_shared_cache_is_set_by_a_file_the_environment_or_a_flag(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    draw_signs(1)
    Path("ita.yaml").write_text("shared: mnt/cache\n")
    assert ita_here("extract", "images", *OCR).code == 0
    assert len(list(Path("mnt/cache/ocr").glob("*/*.jsonl"))) == 1
    monkeypatch.setenv("ITA_SHARED", URL)
    assert ita_here("extract", "images", *OCR).code == 0
    monkeypatch.delenv("ITA_SHARED")
    assert len(objects(".jsonl")) == 1
    shown = json.loads(ita_here("config", "show", "--json").out)
    (setting,) = [one for one in shown["settings"] if one["name"] == "shared"]
    assert (setting["value"], setting["origin"]) == ("mnt/cache", "ita.yaml")
    assert "ocr" in ita_here("cache", "ls", "--shared", "--preset", "bundled").out


def test_a_shared_cache_is_maintained_like_a_local_one(server: Server):
    draw_signs(2)
    assert extract("a").code == 0
    assert extract("a", "--refresh", "ocr").code == 0
    (key,) = json.loads(ita_here("cache", "ls", URL, "--preset", "bundled", "--json").out)["keys"]
    assert (key["stage"], key["values"], key["segments"]) == ("ocr", None, 2)
    compacted = ita_here("cache", "compact", URL)
    assert (compacted.code, "1 segment, 0 records" in compacted.out) == (0, True), compacted.err
    assert len(objects(".jsonl")) == 1
    assert "2 lines in 1 segment, 0 damaged" in ita_here("cache", "verify", URL).out
    assert "2 records under 1 key" in ita_here("cache", "export", "all", URL).out
    assert ita_here("cache", "pull", URL, "--workspace", "copy").code == 0
    time.sleep(1)  # S3 tells whole seconds, and the key used last stays.
    assert extract("a", "--set", "ocr.page_mode=6").code == 0
    shown = ita_here("cache", "gc", URL, "--dry-run")
    assert (shown.code, len(objects("stage.json"))) == (0, 2)
    assert ita_here("cache", "gc", URL).code == 2
    assert ita_here("cache", "gc", URL, "--yes").code == 0
    assert len(objects("stage.json")) == 1
    again = ita_here("cache", "push", URL, "--workspace", "copy")
    assert again.code == 0, again.err
    assert len(objects("stage.json")) == 2
    assert count_done(extract("b", "--json")) == 0
