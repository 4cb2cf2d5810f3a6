"""Tests of results that reports read from the cache: current, imported, outdated and missing ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ita_pipeline.sources.local import hash_file
from stages.external import ExternalValue
from tests.support.fakes import SizeValue, draw
from tests.support.report_pages import report
from tests.support.report_site import build_site, caption, key_of, objects, remember, words


def test_imported_captions_are_matched_by_picture_id():
    run = build_site(Path(), posts=15)
    values = {
        name: ExternalValue(source="file", caption=caption(text))
        for name, text in (("0", "made elsewhere"), ("other", "of no post here"))
    }
    remember(Path(), key_of("external"), values)
    record = run.record()
    keys = {**record.stage_keys, "external": key_of("external").hexdigest}
    run.write(record.model_copy(update={"stage_keys": keys}), run.history(), run.analysis())
    first, second = report(run.folder)[0]["entries"][:2]
    assert first["found"]["captions"] == [{"text": "made elsewhere", "score": 0.4, "piece": 0}]
    assert ["caption", "made elsewhere"] in first["contexts"]
    assert second["found"]["captions"] == [{"text": "a person", "score": 0.4, "piece": 0}]


def test_records_of_an_earlier_stage_version_are_left_out_with_a_note():
    run = build_site(Path(), posts=15)
    remember(Path(), key_of("external"), {"0": objects("in a form of no version")})
    record = run.record()
    keys = {**record.stage_keys, "external": key_of("external").hexdigest}
    run.write(record.model_copy(update={"stage_keys": keys}), run.history(), run.analysis())
    data, lines = report(run.folder)
    assert lines == ["results of another version of the stage external are left out"]
    assert data["entries"][0]["found"]["captions"] == [{"text": "a person", "score": 0.4, "piece": 0}]


def test_missing_cache_entries_are_noted():
    run = build_site(Path(), posts=15)
    shutil.rmtree(".ita/cache/ocr")
    data, lines = report(run.folder)
    assert lines == ["the cache lacks results that the run was trained with: ocr"]
    assert "words" not in data["entries"][0]["found"]


def test_pictures_show_the_latest_results_of_each_stage():
    red = draw(Path("images/a.png"))
    draw(Path("images/sub/b.png"), "blue")
    old, new = key_of("objects", "old"), key_of("objects", "new")
    remember(Path(), old, {hash_file(red): objects("cat")})
    remember(Path(), new, {hash_file(red): objects("dog")})
    remember(Path(), key_of("ocr"), {"f" * 64: words("of another picture")})
    os.utime(f".ita/cache/objects/{old.short}/stage.json", (1, 1))
    data, _ = report("images")
    first, second = data["entries"]
    assert (first["id"], first["found"]["objects"][0]["label"]) == ("a.png", "dog")
    assert (second["id"], second["tags"], second["found"]) == ("sub/b.png", ["waiting"], {"waiting": ["objects"]})


def test_a_stage_that_is_not_installed_is_left_out_with_a_note():
    red = draw(Path("images/a.png"))
    remember(Path(), key_of("objects"), {hash_file(red): objects("cat")})
    remember(Path(), key_of("size"), {hash_file(red): SizeValue(width=1, height=2)})
    _, lines = report("images")
    assert lines[0].startswith("results of the stage size are left out: there is no stage size")
