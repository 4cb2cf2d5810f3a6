"""Runs in the making: one process at a time, and what a killed one left is found by the same run alone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.run import Run, RunScores, find_run, last_run, run_at
from ita_pipeline.runs.workdir import exclusive_workdir, workdir_path
from tests.support.messages import logged_messages

RUN = run_at(Path("runs"), "mine", "a" * 64)


def finish(run: Run) -> None:
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text("{}")
    run.finish(RunScores(splits={}))


def test_what_is_not_finished_stays_and_is_found_again():
    with logged_messages() as messages, exclusive_workdir(RUN) as folder:
        (folder / "checkpoints").mkdir()
    with logged_messages() as more, exclusive_workdir(RUN) as again:
        assert again == folder
        assert (again / "checkpoints").is_dir()
        finish(RUN)
    assert not folder.exists()
    assert messages == more == []


def test_what_another_run_left_is_told_and_left_alone():
    other = run_at(Path("runs"), "mine", "b" * 64)
    (workdir_path(other) / "checkpoints").mkdir(parents=True)
    with logged_messages() as messages, exclusive_workdir(RUN) as folder:
        assert list(folder.iterdir()) == [folder / "lock"]
    assert messages == [f"{workdir_path(other)} is unfinished and of other inputs; remove it if it is not wanted"]
    assert workdir_path(other).is_dir()


def test_a_run_in_the_making_is_no_run():
    hidden = Run(workdir_path(RUN))
    finish(hidden)
    assert last_run(Path("runs"), "mine") is None
    finish(RUN)
    assert find_run("mine", Path("runs")).folder == RUN.folder


def test_what_lies_in_the_way_is_not_overwritten():
    RUN.folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="is in the way"), exclusive_workdir(RUN):
        pass


SCRIPT = """
import sys, time
from pathlib import Path
from ita_pipeline.runs.run import Run
from ita_pipeline.runs.workdir import exclusive_workdir

with exclusive_workdir(Run(Path(sys.argv[1]))) as folder:
    (folder / "begun").touch()
    sys.stdin.read()
"""


def test_a_second_process_waits_and_a_killed_one_is_not_waited_for():
    command = [sys.executable, "-c", SCRIPT, str(RUN.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        while not (workdir_path(RUN) / "begun").exists():
            assert process.poll() is None

        def kill(record: logging.LogRecord) -> bool:
            process.kill()
            return True

        logger = logging.getLogger("ita_pipeline.runs.workdir")
        logger.addFilter(kill)
        try:
            with logged_messages() as messages, exclusive_workdir(RUN) as folder:
                assert (folder / "begun").exists()
        finally:
            logger.removeFilter(kill)
    assert messages == ["another process is training this very run; waiting for it"]
