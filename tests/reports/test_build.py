"""What `report` takes: runs, datasets, folders; moved or changed data; and what the cache no longer has."""

from __future__ import annotations

import html
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.reports.build import ReportOptions, make_report
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.sources.local import hash_file
from stages.external import ExternalValue
from tests.support.fakes import SizeValue, draw
from tests.support.messages import logged_messages
from tests.support.report_site import build_site, caption, key_of, objects, remember, words

PAGE = Path("page.html")


def report(target: str | Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """The data of the page, and what was told."""
    with logged_messages() as messages:
        made = make_report(target, PAGE, ReportOptions(**options))
    page = PAGE.read_text("utf-8")
    words = html.unescape(page)
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert made.shown == len(data.get("entries", []))
    assert all(line in words or line.startswith("run ") for line in messages)
    return data, messages


def test_a_run_goes_by_its_folder_by_its_name_and_by_its_dataset():
    run = build_site(Path(), posts=15)
    pages = [report(target) for target in (run.folder, "mine/0123456789abcdef", "mine")]
    assert pages[0][0] == pages[1][0] == pages[2][0]
    assert [told for _, told in pages] == [[], [], [f"run {run.folder}"]]
    first = pages[0][0]["entries"][0]
    assert first["tags"] == ["right", "changed", "helped"]
    assert first["found"]["captions"] == [{"text": "a person", "score": 0.4}]
    assert first["answers"]["T"][0]["right"] is False
    assert first["answers"]["I+T"][0] == {"start": 1, "end": 2, "type": "PER", "score": 0.9, "right": True}


def test_captions_made_elsewhere_are_found_by_the_pictures_id():
    run = build_site(Path(), posts=15)
    said = {
        name: ExternalValue(source="file", caption=caption(text))
        for name, text in (("0", "made elsewhere"), ("other", "of no post here"))
    }
    remember(Path(), key_of("external"), said)
    record = run.record()
    keys = {**record.stage_keys, "external": key_of("external").hexdigest}
    run.write(record.model_copy(update={"stage_keys": keys}), run.history(), run.analysis())
    first, second = report(run.folder)[0]["entries"][:2]
    assert first["found"]["captions"] == [{"text": "made elsewhere", "score": 0.4}]
    assert "made elsewhere" in first["contexts"]
    assert second["found"]["captions"] == [{"text": "a person", "score": 0.4}]


def test_what_an_earlier_version_of_a_stage_said_in_another_form_is_left_out_and_told():
    run = build_site(Path(), posts=15)
    remember(Path(), key_of("external"), {"0": objects("in a form of no version")})
    record = run.record()
    keys = {**record.stage_keys, "external": key_of("external").hexdigest}
    run.write(record.model_copy(update={"stage_keys": keys}), run.history(), run.analysis())
    data, told = report(run.folder)
    assert told == ["what the stage external said is of another version of it, and is left out"]
    assert data["entries"][0]["found"]["captions"] == [{"text": "a person", "score": 0.4}]


def test_in_another_workspace_paths_are_those_of_training():
    run = build_site(Path(), posts=15)
    record = run.record()
    for name in ("mine", "runs", ".ita"):
        Path("elsewhere").mkdir(exist_ok=True)
        shutil.move(name, f"elsewhere/{name}")
    data, told = report("mine", workspace=Path("elsewhere"))
    assert told == ["run elsewhere/runs/mine/0123456789abcdef"]
    assert (record.source, len(data["pictures"])) == ("mine", 15)


def test_a_folder_of_pictures_is_that_though_a_run_has_its_name():
    build_site(Path(), posts=15)
    assert report("runs/mine")[0]["what"] == "posts"
    path = draw(Path("other/mine/a.png"))
    remember(Path(), key_of("objects"), {hash_file(path): objects("cat")})
    assert report("other/mine")[0]["what"] == "pictures"


def test_a_dataset_goes_by_the_file_of_its_card_too():
    run = build_site(Path(), posts=15)
    assert report("cards/mine.yaml")[1] == [f"run {run.folder}"]


def test_of_several_runs_it_is_the_last_one_and_that_is_told():
    run = build_site(Path(), posts=15)
    other = shutil.copytree(run.folder, run.folder.with_name("f" * 16))
    os.utime(other / "scores.json", (1, 1))
    _, told = report("mine")
    assert told == [f"run {run.folder}, the last of 2; name another to see it"]


def test_without_its_dataset_a_run_still_has_its_words_and_mentions():
    run = build_site(Path(), posts=15)
    shutil.move("mine", "moved")
    data, told = report(run.folder)
    assert "the pictures of mine were not found" in told[0]
    assert len(data["entries"]) == 15
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data["entries"][0]["tags"] == ["right", "changed", "helped", "no-picture"]
    again, told = report(run.folder, dataset="moved")
    assert told == []
    assert len(again["pictures"]) == 15
    with pytest.raises(UsageError, match="no dataset movde"):
        report(run.folder, dataset="movde")


def test_posts_that_changed_since_are_not_mixed_with_the_runs():
    run = build_site(Path(), posts=15)
    file = Path("mine/tweets.jsonl")
    file.write_text(file.read_text().replace("hi kim", "hi you"))
    data, told = report(run.folder)
    assert "no longer the run's" in told[0]
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data.get("pictures") in (None, {})


def test_a_cache_that_was_emptied_is_told():
    run = build_site(Path(), posts=15)
    shutil.rmtree(".ita/cache/ocr")
    data, told = report(run.folder)
    assert told == ["the cache here does not have what the run read of ocr"]
    assert "words" not in data["entries"][0]["found"]


def test_a_run_from_before_scores_were_kept_has_mentions_without_them():
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
def test_files_that_no_run_writes_are_a_sentence(file: str, content: str):
    run = build_site(Path(), posts=15)
    (run.folder / "predictions" / file).write_text(content)
    with pytest.raises(UsageError) as caught:
        make_report(run.folder, PAGE)
    assert caught.value.hint == "train it anew"


def test_a_dataset_without_runs_shows_gold_and_what_was_found():
    build_site(Path(), posts=15)
    shutil.rmtree("runs")
    data, _ = report("mine")
    first = data["entries"][0]
    assert set(first["answers"]) == {"gold"}
    assert first["found"]["objects"][0]["label"] == "person"
    assert "tags" not in first


def test_pictures_show_what_each_stage_said_last():
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


def test_a_stage_that_is_not_installed_is_left_out_and_told():
    red = draw(Path("images/a.png"))
    remember(Path(), key_of("objects"), {hash_file(red): objects("cat")})
    remember(Path(), key_of("size"), {hash_file(red): SizeValue(width=1, height=2)})
    _, told = report("images")
    assert told[0].startswith("what the stage size said is left out: there is no stage size")


def test_names_that_are_no_text_and_names_that_are_markup():
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
def test_mistakes_are_a_sentence(target: str, error: type[MissingError], says: str, hint: str):
    draw(Path("images/a.png"))
    Path("empty").mkdir()
    Path("runs/mine/unfinished").mkdir(parents=True)
    Path("runs/mine/unfinished/run.json").write_text("{}")
    with pytest.raises(error, match=says) as caught:
        make_report(target, PAGE)
    assert hint in caught.value.hint
    assert not PAGE.exists()


def test_a_folder_is_no_page():
    with pytest.raises(UsageError, match="is a folder") as caught:
        make_report("mine", Path())
    assert "report.html" in caught.value.hint
