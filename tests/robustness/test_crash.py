"""SIGKILL at random moments, with two processes at work: no record is lost, and the last run leaves the records of
an undisturbed one.

`make crash` kills 200 times.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.fakes import draw_sign, ita
from tests.support.processes import find_descendants

COMMAND = ["extract", "images", "--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1"]
KILLS = int(os.environ.get("ITA_CRASH_KILLS", "6"))


def read_values(workspace: str) -> dict[str, object]:
    """The values of all complete lines; only the last line of a segment may be incomplete."""
    values: dict[str, object] = {}
    for path in Path(workspace).glob(".ita/cache/ocr/*/*.jsonl"):
        *lines, _ = path.read_bytes().split(b"\n")
        for record in map(json.loads, lines):
            if "failure" in record:
                continue
            assert values.setdefault(record["image"], record["value"]) == record["value"]
    return values


def start(workspace: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "ita"), *COMMAND, "--workspace", workspace]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_and_kill(workspace: str, after: float) -> None:
    """Start two processes on the same images, and kill one after a while, and then the other."""
    for process in [start(workspace) for _ in range(2)]:
        time.sleep(after / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()


def run_without(workspace: str, name: str, chance: random.Random, kills: int) -> int:
    """Run to the end, kill descendants with this name now and then, and return how many were killed."""
    running, done = start(workspace), 0
    while running.poll() is None:
        time.sleep(chance.uniform(0.02, 0.15))
        for pid in find_descendants(running.pid, name)[:1] if done < kills else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                done += 1
    return done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with forty images and the records of an undisturbed run."""
    here = tmp_path_factory.mktemp("crash")
    for number in range(40):
        draw_sign(here / "images" / f"{number}.png", f"NUMBER {number}")
    with contextlib.chdir(here):
        assert ita(*COMMAND, "--workspace", "calm").code == 0
        assert len(read_values("calm")) == 40
    return here


@pytest.fixture(autouse=True)
def inside(undisturbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(undisturbed)


def test_a_run_that_is_killed_many_times_ends_with_the_records_of_an_undisturbed_run():
    chance = random.Random(1)
    acknowledged: dict[str, object] = {}
    for _ in range(KILLS):
        run_and_kill("wild", chance.uniform(0.5, 3.0))
        now = read_values("wild")
        assert acknowledged.items() <= now.items()
        acknowledged = now
    assert ita(*COMMAND, "--workspace", "wild").code == 0
    assert ita("cache", "verify", "--workspace", "wild").code == 0
    assert read_values("wild") == read_values("calm")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to find processes")
@pytest.mark.parametrize("part", ["ita_pipeline.engines.worker", "tesseract"])
def test_killed_subprocesses_cost_no_image_and_change_no_value(part: str):
    chance, kills = random.Random(2), 0
    for turn in range(max(1, KILLS // 6)):
        workspace = f"{part}{turn}"
        kills += run_without(workspace, part, chance, kills=3)
        # An image whose process was killed twice in a row has failed.
        assert ita(*COMMAND, "--workspace", workspace, "--retry-failed").code == 0
        assert read_values(workspace) == read_values("calm")
    assert kills > 0
