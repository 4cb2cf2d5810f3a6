"""`ita runs`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fakes import ita_here as ita
from tests.support.finished_run import finished, write_scored_run

KEYS = ["a" * 16, "b" * 16]


def write_runs() -> None:
    write_scored_run(KEYS[0], 0.75, finished=1_700_000_000)
    write_scored_run(KEYS[1], 0.5, finished=1_800_000_000, seed=2)


def test_the_table_has_scores_and_the_names_that_select_a_run():
    write_runs()
    assert ita("runs", "name", "mine@best", "baseline").code == 0
    answer = ita("runs")
    header, *rows = answer.out.splitlines()
    assert header.split("  ")[0] == "run"
    assert [row.split()[:5] for row in rows] == [
        ["mine/bbbbbbbb", "50.00", "50.00", "50.00", "50.00"],
        ["mine/aaaaaaaa", "75.00", "75.00", "75.00", "75.00"],
    ]
    assert rows[0].split()[-1] == "latest"
    assert rows[1].endswith("best, baseline")
    assert ita("runs", "mine").out == ita("runs", "list", "mine").out == answer.out


def test_the_list_as_json():
    write_runs()
    content = json.loads(ita("runs", "mine", "--json").out)
    assert content["schema"] == "ita.runs/1"
    latest, best = content["runs"]
    assert (latest["names"], latest["seed"], latest["contexts"]) == (["latest"], 2, "all")
    assert best["finished"] == "2023-11-14T22:13:20+00:00"
    assert best["f1"]["dev"] == {"text": 0.75, "text+image": 0.75}
    assert best["bytes"] == sum(file.stat().st_size for file in Path(best["run"]).iterdir())


def test_a_damaged_run_is_reported_and_left_out():
    write_runs()
    finished("c" * 16, "{")
    answer = ita("runs")
    assert len(answer.out.splitlines()) == 3
    assert "left out runs/mine/cccccccccccccccc: " in answer.err


def test_without_runs_the_list_says_how_to_make_one():
    answer = ita("runs")
    assert (answer.code, answer.out) == (0, "")
    assert "ita train --dataset example makes one" in answer.err
    missing = ita("runs", "mine")
    assert (missing.code, missing.out) == (3, "")
    assert "there is no run of the dataset mine" in missing.err


def test_runs_are_removed_only_if_they_are_named_exactly():
    write_runs()
    several = ita("runs", "rm", "mine", "--yes")
    assert several.code == 2
    assert "mine has 2 runs" in several.err
    assert ita("runs", "rm", "mine/aa").code == 2, "without a terminal nothing is removed"
    assert ita("runs", "rm", "mine/aa", "--dry-run").out.startswith(f"runs/mine/{KEYS[0]}  0.0 MB")
    assert len(json.loads(ita("runs", "--json").out)["runs"]) == 2
    ita("runs", "name", "mine/aa", "baseline")
    assert ita("runs", "rm", "baseline", "mine@best", "--yes").code == 0
    assert [run["key"] for run in json.loads(ita("runs", "--json").out)["runs"]] == KEYS[1:]
    assert not any(Path("runs/.names").iterdir())


def test_a_name_is_removed_from_its_run():
    write_runs()
    assert "give either a name or --remove" in ita("runs", "name", "mine").err
    ita("runs", "name", "mine/aa", "baseline")
    moved = ita("runs", "name", "mine/bb", "baseline")
    assert f"until now it was mine/{KEYS[0]}" in moved.err
    assert "names removed: baseline" in ita("runs", "name", "baseline", "--remove").err
    assert ita("runs", "name", "baseline", "x").code == 3
