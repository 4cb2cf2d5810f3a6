"""Tests of reports about runs, datasets and folders, with moved or changed data and an incomplete cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError, UserError
from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.writer import ReportWriter
from ita_pipeline.sources.local import hash_file
from tests.support.fakes import draw
from tests.support.report_pages import PAGE, report
from tests.support.report_site import build_site, key_of, objects, remember


def test_a_run_is_named_by_its_folder_its_key_or_its_dataset():
    run = build_site(Path(), posts=15)
    pages = [report(target) for target in (run.folder, "mine/0123456789abcdef", "mine")]
    assert pages[0][0] == pages[1][0] == pages[2][0]
    assert [lines for _, lines in pages] == [[], [], [f"run {run.folder}"]]
    first = pages[0][0]["entries"][0]
    assert first["tags"] == ["right", "changed", "helped", "error:right", "pair:PER>PER"]
    assert first["found"]["captions"] == [{"text": "a person", "score": 0.4, "piece": 0}]
    assert first["answers"]["T"][0]["right"] is False
    mention = first["answers"]["I+T"][0]
    assert mention.items() >= {"start": 1, "end": 2, "type": "PER", "score": 0.9, "right": True}.items()
    assert mention["boxes"] == [[4, 6, 20, 40]]


def test_a_folder_of_pictures_takes_precedence_over_a_run_of_its_name():
    build_site(Path(), posts=15)
    assert report("runs/mine")[0]["what"] == "posts"
    path = draw(Path("other/mine/a.png"))
    remember(Path(), key_of("objects"), {hash_file(path): objects("cat")})
    assert report("other/mine")[0]["what"] == "pictures"


def test_a_dataset_may_be_named_by_the_file_of_its_card():
    build_site(Path(), posts=15)
    assert report("cards/mine.yaml")[0]["what"] == "posts"


def test_the_best_of_several_runs_is_used_and_reported():
    run = build_site(Path(), posts=15)
    other = shutil.copytree(run.folder, run.folder.with_name("f" * 16))
    os.utime(other / "scores.json", (1, 1))
    _, lines = report("mine")
    assert lines[0].startswith(f"using run {run.folder}, the best of 2 on dev")


def test_changed_posts_are_not_mixed_with_those_of_the_run():
    run = build_site(Path(), posts=15)
    file = Path("mine/tweets.jsonl")
    file.write_text(file.read_text().replace("hi kim", "hi you"))
    data, lines = report(run.folder)
    assert "have changed since training" in lines[0]
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data.get("pictures") in (None, {})


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
    assert caught.value.hint == "train it again"


def test_a_dataset_without_runs_shows_gold_mentions_and_findings():
    build_site(Path(), posts=15)
    shutil.rmtree("runs")
    data, _ = report("mine")
    first = data["entries"][0]
    assert set(first["answers"]) == {"gold"}
    assert first["found"]["objects"][0]["label"] == "person"
    assert "tags" not in first


@pytest.mark.parametrize(
    ("target", "error", "says", "hint"),
    [
        ("nowhere", MissingError, "no run, dataset or folder nowhere", "ita report RUN"),
        ("exampel", MissingError, "no run, dataset or folder exampel", "did you mean example?"),
        ("empty", UsageError, "there is no picture in empty", ".jpg"),
        ("images", MissingError, "nothing was extracted from the pictures in images yet", "ita extract images"),
        ("runs/mine/unfinished", MissingError, "never finished", "train it again"),
    ],
)
def test_invalid_targets_are_an_error(target: str, error: type[UserError], says: str, hint: str):
    draw(Path("images/a.png"))
    Path("empty").mkdir()
    Path("runs/mine/unfinished").mkdir(parents=True)
    Path("runs/mine/unfinished/run.json").write_text("{}")
    with pytest.raises(error, match=says) as caught:
        make_report(target, ReportWriter(PAGE))
    assert hint in caught.value.hint
    assert not PAGE.exists()
