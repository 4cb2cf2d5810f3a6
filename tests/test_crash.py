"""SIGKILL at random moments, two processes at work: nothing acknowledged is lost, and the end is a calm run's.

`make crash` does it 200 times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw

from tests.fakes import ita

COMMAND = ["extract", "images", "--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1"]
KILLS = int(os.environ.get("ITA_CRASH_KILLS", "6"))


def sign(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (200, 60), "white")
    ImageDraw.Draw(picture).text((10, 10), text, "black", font_size=28)
    picture.save(path)


def values(workspace: str) -> dict[str, object]:
    """Every whole line of every segment; a line that is not whole may only be the last of its segment."""
    found: dict[str, object] = {}
    for path in Path(workspace).glob(".ita/cache/ocr/*/*.jsonl"):
        *lines, _ = path.read_bytes().split(b"\n")
        for line in lines:
            record = json.loads(line)
            assert found.setdefault(record["image"], record["value"]) == record["value"]
    return found


def killed(workspace: str, after: float) -> None:
    """Two processes over the same pictures, one killed after a while, and then the other."""
    command = [str(Path(sys.executable).parent / "ita"), *COMMAND, "--workspace", workspace]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    for process in running:
        time.sleep(after / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_killed_again_and_again_it_ends_as_if_it_never_had_been():
    for number in range(40):
        sign(Path(f"images/{number}.png"), f"NUMBER {number}")
    assert ita(*COMMAND, "--workspace", "calm").code == 0
    chance = random.Random(1)
    acknowledged: dict[str, object] = {}
    for _ in range(KILLS):
        killed("wild", chance.uniform(0.5, 3.0))
        now = values("wild")
        assert acknowledged.items() <= now.items()
        acknowledged = now
    assert ita(*COMMAND, "--workspace", "wild").code == 0
    assert ita("cache", "verify", "--workspace", "wild").code == 0
    assert len(values("calm")) == 40
    assert values("wild") == values("calm")
