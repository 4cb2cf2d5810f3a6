"""Runs in the making: one process at a time, and what a killed one left is found by the same run alone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
import sys
from pathlib import Path
from ita_pipeline.runs.run import Run, RunScores
from ita_pipeline.runs.workdir import exclusive_workdir

run = Run(Path(sys.argv[1]))
with exclusive_workdir(run) as folder:
    (folder / "begun").touch()
    sys.stdin.read()
    run.folder.mkdir()
    run.finish(RunScores(splits={}))
"""
WAITING = "another process is training this very run; waiting for it"


@contextmanager
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the work folder, and finishes the run when its standard input ends."""
    command = [sys.executable, "-c", SCRIPT, str(RUN.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        while not (workdir_path(RUN) / "begun").exists():
            assert process.poll() is None
        yield process


@contextmanager
def when_waiting(action: Callable[[], object]) -> Iterator[list[str]]:
    """Call a function as soon as this process waits; gives the messages."""

    def act(record: logging.LogRecord) -> bool:
        action()
        return True

    logger = logging.getLogger("ita_pipeline.runs.workdir")
    logger.addFilter(act)
    try:
        with logged_messages() as messages:
            yield messages
    finally:
        logger.removeFilter(act)


def test_a_second_process_waits_and_a_killed_one_is_not_waited_for():
    with other_process() as process, when_waiting(process.kill) as messages, exclusive_workdir(RUN) as folder:
        assert (folder / "begun").exists()
    assert messages == [WAITING]


def test_a_waiting_process_goes_on_when_the_other_one_has_finished_the_run():
    with other_process() as process:
        assert process.stdin is not None
        with when_waiting(process.stdin.close) as messages, exclusive_workdir(RUN):
            assert RUN.is_complete
    assert process.returncode == 0
    assert messages == [WAITING]
    assert not workdir_path(RUN).exists()
