"""Tests of reports about runs, datasets and folders, with moved or changed data and an incomplete cache."""

from __future__ import annotations

import html
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from ita_pipeline.sources.local import hash_file
from stages.external import ExternalValue
from tests.support.fakes import SizeValue, draw
from tests.support.messages import logged_messages
from tests.support.report_site import build_site, caption, key_of, objects, remember, words

PAGE = Path("page.html")


def report(target: str | Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the data of the page and the reported lines."""
    with logged_messages() as messages:
        result = make_report(target, ReportWriter(PAGE, ReportOptions(**options)))
    page = PAGE.read_text("utf-8")
    words = html.unescape(page)
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert result.shown == len(data.get("entries", []))
    assert all(line in words or line.startswith("run ") for line in messages)
    return data, messages


def test_a_run_is_named_by_its_folder_its_key_or_its_dataset():
    run = build_site(Path(), posts=15)
    pages = [report(target) for target in (run.folder, "mine/0123456789abcdef", "mine")]
    assert pages[0][0] == pages[1][0] == pages[2][0]
    assert [lines for _, lines in pages] == [[], [], [f"run {run.folder}"]]
    first = pages[0][0]["entries"][0]
    assert first["tags"] == ["right", "changed", "helped"]
    assert first["found"]["captions"] == [{"text": "a person", "score": 0.4}]
    assert first["answers"]["T"][0]["right"] is False
    assert first["answers"]["I+T"][0] == {"start": 1, "end": 2, "type": "PER", "score": 0.9, "right": True}


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
    assert first["found"]["captions"] == [{"text": "made elsewhere", "score": 0.4}]
    assert "made elsewhere" in first["contexts"]
    assert second["found"]["captions"] == [{"text": "a person", "score": 0.4}]


def test_records_of_an_earlier_stage_version_are_left_out_with_a_note():
    run = build_site(Path(), posts=15)
    remember(Path(), key_of("external"), {"0": objects("in a form of no version")})
    record = run.record()
    keys = {**record.stage_keys, "external": key_of("external").hexdigest}
    run.write(record.model_copy(update={"stage_keys": keys}), run.history(), run.analysis())
    data, lines = report(run.folder)
    assert lines == ["what the stage external said is of another version of it, and is left out"]
    assert data["entries"][0]["found"]["captions"] == [{"text": "a person", "score": 0.4}]


def test_paths_of_training_are_resolved_in_another_workspace():
    run = build_site(Path(), posts=15)
    record = run.record()
    for name in ("mine", "runs", ".ita"):
        Path("elsewhere").mkdir(exist_ok=True)
        shutil.move(name, f"elsewhere/{name}")
    data, lines = report("mine", workspace=Path("elsewhere"))
    assert lines == ["run elsewhere/runs/mine/0123456789abcdef"]
    assert (record.source, len(data["pictures"])) == ("mine", 15)


def test_a_folder_of_pictures_takes_precedence_over_a_run_of_its_name():
    build_site(Path(), posts=15)
    assert report("runs/mine")[0]["what"] == "posts"
    path = draw(Path("other/mine/a.png"))
    remember(Path(), key_of("objects"), {hash_file(path): objects("cat")})
    assert report("other/mine")[0]["what"] == "pictures"


def test_a_dataset_may_be_named_by_the_file_of_its_card():
    run = build_site(Path(), posts=15)
    assert report("cards/mine.yaml")[1] == [f"run {run.folder}"]


def test_the_last_of_several_runs_is_used_and_reported():
    run = build_site(Path(), posts=15)
    other = shutil.copytree(run.folder, run.folder.with_name("f" * 16))
    os.utime(other / "scores.json", (1, 1))
    _, lines = report("mine")
    assert lines == [f"run {run.folder}, the last of 2; name another to see it"]


def test_a_run_without_its_dataset_has_words_and_mentions():
    run = build_site(Path(), posts=15)
    shutil.move("mine", "moved")
    data, lines = report(run.folder)
    assert "the pictures of mine were not found" in lines[0]
    assert len(data["entries"]) == 15
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data["entries"][0]["tags"] == ["right", "changed", "helped", "no-picture"]
    again, lines = report(run.folder, dataset="moved")
    assert lines == []
    assert len(again["pictures"]) == 15
    with pytest.raises(UsageError, match="no dataset movde"):
        report(run.folder, dataset="movde")


def test_changed_posts_are_not_mixed_with_those_of_the_run():
    run = build_site(Path(), posts=15)
    file = Path("mine/tweets.jsonl")
    file.write_text(file.read_text().replace("hi kim", "hi you"))
    data, lines = report(run.folder)
    assert "no longer the run's" in lines[0]
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data.get("pictures") in (None, {})


def test_missing_cache_entries_are_noted():
    run = build_site(Path(), posts=15)
    shutil.rmtree(".ita/cache/ocr")
    data, lines = report(run.folder)
    assert lines == ["the cache here does not have what the run read of ocr"]
    assert "words" not in data["entries"][0]["found"]


def test_an_old_run_without_scores_has_mentions():
    run = build_site(Path(), posts=15)
    for file in (run.folder / "predictions").glob("*.jsonl"):
        file.unlink()
    data, _ = report(run.folder)
    assert data["entries"][0]["answers"]["I+T"] == [{"start": 1, "end": 2, "type": "PER", "right": True}]
    assert "confidence" not in data["entries"][0]


@pytest.mark.parametrize(
    ("file", "content"),
    [("test.text.jsonl", "[1]\n"), ("test.text.jsonl", "{"), ("test.text-image.conll", "kim\tO\tB-PER\n")],
)
def test_invalid_files_of_a_run_are_an_error(file: str, content: str):
    run = build_site(Path(), posts=15)
    (run.folder / "predictions" / file).write_text(content)
    with pytest.raises(UsageError) as caught:
        make_report(run.folder, ReportWriter(PAGE))
    assert caught.value.hint == "train it anew"


def test_a_dataset_without_runs_shows_gold_mentions_and_findings():
    build_site(Path(), posts=15)
    shutil.rmtree("runs")
    data, _ = report("mine")
    first = data["entries"][0]
    assert set(first["answers"]) == {"gold"}
    assert first["found"]["objects"][0]["label"] == "person"
    assert "tags" not in first


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
    assert lines[0].startswith("what the stage size said is left out: there is no stage size")


def test_file_names_with_invalid_bytes_and_with_markup():
    names = [b'"><img src=x onerror=alert(1)>.png', b"a\nb.png", b"caf\xe9.png", b"\x1b[2J.png"]
    for number, name in enumerate(names):
        path = Path(os.fsdecode(b"images/" + name))
        draw(path, size=(30 + number, 30))
        remember(Path(), key_of("objects"), {hash_file(path): objects("cat")})
    data, _ = report("images", pictures=Pictures.BESIDE)
    shown = {entry["id"] for entry in data["entries"]}
    assert shown == {'"><img src=x onerror=alert(1)>.png', "a␊b.png", "caf\\xe9.png", "␛[2J.png"}
    assert len(list(Path("page_pictures").iterdir())) == 4


@pytest.mark.parametrize(
    ("target", "error", "says", "hint"),
    [
        ("nowhere", UsageError, "no run, no dataset and no folder", "ita report RUN"),
        ("exampel", UsageError, "no run, no dataset and no folder", "did you mean example?"),
        ("empty", UsageError, "there is no picture in empty", ".jpg"),
        ("images", MissingError, "nothing was extracted from the pictures in images yet", "ita extract images"),
        ("runs/mine/unfinished", MissingError, "never finished", "train it again"),
    ],
)
def test_invalid_targets_are_an_error(target: str, error: type[MissingError], says: str, hint: str):
    draw(Path("images/a.png"))
    Path("empty").mkdir()
    Path("runs/mine/unfinished").mkdir(parents=True)
    Path("runs/mine/unfinished/run.json").write_text("{}")
    with pytest.raises(error, match=says) as caught:
        make_report(target, ReportWriter(PAGE))
    assert hint in caught.value.hint
    assert not PAGE.exists()


def test_a_folder_is_refused_as_page():
    with pytest.raises(UsageError, match="is a folder") as caught:
        make_report("mine", ReportWriter(Path()))
    assert "report.html" in caught.value.hint
