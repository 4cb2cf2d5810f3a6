"""Damaged files of saved datasets: each ends in one sentence or is read, and none ends a process by a signal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.damaged_arrow import HARMLESS

SEED = os.environ.get("ITA_HOSTILE_SEED", "1")


def test_damaged_arrow_files_end_no_process():
    command = [sys.executable, "-m", "tests.support.damaged_arrow", "60", SEED]
    root = Path(__file__).parents[2]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=300)
    outcomes = json.loads(answer.stdout)
    assert set(outcomes) <= HARMLESS, answer.stderr
    assert outcomes["one sentence"] > 0
