"""SIGKILL at random moments, two processes at work: nothing acknowledged is lost, and the end is a calm run's.

`make crash` does it 200 times.
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

COMMAND = ["extract", "images", "--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1"]
KILLS = int(os.environ.get("ITA_CRASH_KILLS", "6"))


def values(workspace: str) -> dict[str, object]:
    """The values of every whole line; a line that is not whole may only be the last of its segment."""
    found: dict[str, object] = {}
    for path in Path(workspace).glob(".ita/cache/ocr/*/*.jsonl"):
        *lines, _ = path.read_bytes().split(b"\n")
        for record in map(json.loads, lines):
            if "failure" in record:
                continue
            assert found.setdefault(record["image"], record["value"]) == record["value"]
    return found


def start(workspace: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "ita"), *COMMAND, "--workspace", workspace]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(workspace: str, after: float) -> None:
    """Two processes over the same pictures, one killed after a while, and then the other."""
    for process in [start(workspace) for _ in range(2)]:
        time.sleep(after / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()


def descendants(pid: int, name: str) -> list[int]:
    """Processes below one whose command line names something."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            said = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # gone meanwhile
        if f"\nPPid:\t{pid}\n" in status:
            found += [int(folder.name)] if name in said else []
            found += descendants(int(folder.name), name)
    return found


def without(workspace: str, name: str, chance: random.Random, kills: int) -> int:
    """Run to the end while parts of it are killed now and then; how many were."""
    running, done = start(workspace), 0
    while running.poll() is None:
        time.sleep(chance.uniform(0.02, 0.15))
        for pid in descendants(running.pid, name)[:1] if done < kills else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                done += 1
    return done


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures, and what an undisturbed run finds in them."""
    here = tmp_path_factory.mktemp("crash")
    for number in range(40):
        draw_sign(here / "images" / f"{number}.png", f"NUMBER {number}")
    with contextlib.chdir(here):
        assert ita(*COMMAND, "--workspace", "calm").code == 0
        assert len(values("calm")) == 40
    return here


@pytest.fixture(autouse=True)
def inside(calm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(calm)


def test_killed_again_and_again_it_ends_as_if_it_never_had_been():
    chance = random.Random(1)
    acknowledged: dict[str, object] = {}
    for _ in range(KILLS):
        killed("wild", chance.uniform(0.5, 3.0))
        now = values("wild")
        assert acknowledged.items() <= now.items()
        acknowledged = now
    assert ita(*COMMAND, "--workspace", "wild").code == 0
    assert ita("cache", "verify", "--workspace", "wild").code == 0
    assert values("wild") == values("calm")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to find whom to kill")
@pytest.mark.parametrize("part", ["ita_pipeline.engines.worker", "tesseract"])
def test_with_its_parts_killed_under_it_no_picture_is_lost_and_none_is_wrong(part: str):
    chance, kills = random.Random(2), 0
    for turn in range(max(1, KILLS // 6)):
        workspace = f"{part}{turn}"
        kills += without(workspace, part, chance, kills=3)
        # A picture may have been unlucky twice running: then it has failed, and says so.
        assert ita(*COMMAND, "--workspace", workspace, "--retry-failed").code == 0
        assert values(workspace) == values("calm")
    assert kills > 0
