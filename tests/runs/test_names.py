"""Tests of the names that users give runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.runs.listing import remove_run
from ita_pipeline.runs.lookup import find_run
from ita_pipeline.runs.names import name_run, read_names, remove_names
from ita_pipeline.runs.run import Run
from tests.support.finished_run import finished

RUNS = Path("runs")


def test_a_name_moves_from_one_run_to_another_and_is_removed():
    first, second = finished("a" * 64), finished("b" * 64)
    assert name_run(first, "baseline", RUNS) == ""
    assert name_run(first, "baseline", RUNS) == ""
    assert name_run(second, "baseline", RUNS) == f"mine/{'a' * 16}"
    assert read_names(RUNS) == {"baseline": f"mine/{'b' * 16}"}
    assert remove_names(first, RUNS) == []
    assert remove_names(second, RUNS) == ["baseline"]
    assert read_names(RUNS) == {}
    assert sorted(file.name for file in first.folder.iterdir()) == ["run.json", "scores.json"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x", "mine@best", "x" * 65, "mine", "twitter15"])
def test_a_name_that_could_mean_something_else_is_refused(name: str):
    with pytest.raises(UsageError):
        name_run(finished("a" * 64), name, RUNS)


def test_a_run_outside_of_the_workspace_gets_no_name(tmp_path: Path):
    shutil.move(finished("a" * 64).folder, tmp_path / "exported")
    with pytest.raises(UsageError, match="not a run of this workspace"):
        name_run(Run(tmp_path / "exported"), "baseline", RUNS)


def test_a_name_whose_run_is_gone_is_an_error():
    run = finished("a" * 64)
    name_run(run, "baseline", RUNS)
    shutil.rmtree(run.folder)
    with pytest.raises(MissingError, match="baseline is the name of mine/") as caught:
        find_run("baseline", RUNS)
    assert caught.value.hint == "ita runs name RUN baseline"


@pytest.mark.parametrize("content", ["../elsewhere/run\n", "/etc\n", "x" * 9999, "\xff", ""])
def test_a_name_file_with_other_content_leads_nowhere(content: str):
    finished("a" * 64)
    (RUNS / ".names").mkdir()
    (RUNS / ".names" / "bad").write_text(content, "latin-1")
    with pytest.raises(MissingError):
        find_run("bad", RUNS)


def test_a_path_out_of_the_folder_of_runs_and_a_link_leave_the_run_where_it_is(tmp_path: Path):
    outside = Path(shutil.move(finished("a" * 64).folder, tmp_path / "outside"))
    with pytest.raises(UsageError, match="not a run of this workspace"):
        remove_run(Run(RUNS / ".." / "outside"), RUNS)
    link = RUNS / "mine" / ("a" * 16)
    link.symlink_to(outside)
    remove_run(Run(link), RUNS)
    assert not link.is_symlink()
    assert Run(outside).is_complete
