"""Tests of the rule that finds a run by a target."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.runs.lookup import find_run
from ita_pipeline.runs.names import name_run
from tests.support.finished_run import finished, write_scored_run

RUNS = Path("runs")


def test_a_run_is_found_by_its_folder_its_name_its_key_or_its_dataset():
    run = finished("a" * 64)
    name_run(run, "baseline", RUNS)
    for target in (
        run.folder,
        f"mine/{'a' * 16}",
        f"mine/{'a' * 64}",
        "mine/a",
        "runs/mine/aa",
        "aaaa",
        "baseline",
        "mine",
    ):
        assert find_run(target, RUNS).folder == run.folder, target


def test_a_dataset_is_its_best_run_on_the_dev_posts_of_the_latest_one(caplog: pytest.LogCaptureFixture):
    write_scored_run("a" * 16, 0.9, dev="other posts", finished=1)
    best = write_scored_run("b" * 16, 0.8, dev="posts", finished=2)
    write_scored_run("c" * 16, 0.0, dev="posts", finished=3)
    finished("d" * 64, "{}")  # cannot be read
    with caplog.at_level(logging.INFO):
        assert find_run("mine", RUNS) == find_run("mine@best", RUNS) == best
    (note,) = caplog.messages
    assert note.startswith(f"using run {best.folder}, the best of 4 on dev")


def test_the_latest_run_is_the_one_finished_last():
    latest = write_scored_run("a" * 16, 0.1, finished=2)
    write_scored_run("b" * 16, 0.9, finished=1)
    assert find_run("mine@latest", RUNS) == latest


def test_the_last_of_equally_good_runs_is_the_best_one():
    write_scored_run("a" * 16, 0.5, finished=1)
    last = write_scored_run("b" * 16, 0.5, finished=2)
    assert find_run("mine@best", RUNS) == last


def test_an_unfinished_run_is_not_found():
    folder = finished("a" * 64).folder
    (folder / "scores.json").unlink()
    with pytest.raises(MissingError, match="never finished"):
        find_run(folder, RUNS)
    with pytest.raises(MissingError, match="there is no run mine"):
        find_run("mine", RUNS)


@pytest.mark.parametrize(
    ("target", "error", "message", "hint"),
    [
        ("mien", MissingError, "there is no run mien", "did you mean mine?"),
        ("mien/" + "a" * 16, MissingError, "there is no run", f"did you mean mine/{'a' * 16}?"),
        ("mine/ffff", MissingError, "there is no run", "ita runs mine lists its runs"),
        ("basline", MissingError, "there is no run", "did you mean baseline?"),
        ("nothing like it", MissingError, "there is no run", "ita runs lists the existing runs"),
        ("aaa", MissingError, "there is no run", "ita runs lists the existing runs"),
        ("mine@worst", UsageError, "there is no run mine@worst", "use mine@best or mine@latest"),
        ("aaaa", UsageError, "the key aaaa matches 2 runs", "add characters"),
    ],
)
def test_the_hint_for_a_missing_run_is_the_nearest_one(target: str, error: type, message: str, hint: str):
    name_run(finished("a" * 64), "baseline", RUNS)
    finished("aaaab" + "a" * 59)
    with pytest.raises(error, match=message) as caught:
        find_run(target, RUNS)
    assert caught.value.hint.startswith(hint)
