"""The life of a worker process: it ends with its parent, and how it died tells why an image failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.base import FailureKind
from tests.support.jobs import failures, run_hostile

PARENT = """
import sys, time
from pathlib import Path
from ita_pipeline.engines.sandbox import SubprocessExecutor
from tests.support.fakes import SizeStage
worker = SubprocessExecutor()
worker.open(SizeStage())
print(worker.process.child.pid, worker.process.folder.name, flush=True)
time.sleep(600)
"""


def test_a_worker_ends_with_its_parent_and_leaves_no_files(tmp_path: Path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        for number in range(3000):  # enough to be still removing them when its socket closes
            (Path(folder) / str(number)).touch()
        parent.kill()
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists() and not Path(folder).exists():
            break
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.parametrize(
    ("name", "kind", "how"),
    [
        ("abort", FailureKind.PERMANENT, "SIGABRT"),
        ("exit", FailureKind.PERMANENT, "exit code 3"),
        ("always", FailureKind.RESOURCE, "SIGKILL"),  # as if there were too little memory
    ],
)
def test_the_failure_of_an_image_names_how_its_process_died(name: str, kind: FailureKind, how: str):
    (failure,) = failures(run_hostile(["a", name])).values()
    assert failure.kind is kind
    assert failure.reason == f"the process that looked at it died of it ({how})"
