"""One cache for many processes, other users and other folders: no record is there twice, and nothing gets stale."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import draw, ita

OCR = ["--preset", "bundled", "--stage", "ocr"]
COMMAND = str(Path(sys.executable).parent / "ita")
PROCESSES = 8
AS_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def status(*arguments: str, **environment: str) -> dict[str, Any]:
    answer = ita("status", *arguments, "--preset", "bundled", "--json", **environment)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_eight_processes_on_overlapping_folders_leave_a_record_of_each_image():
    folders = [Path(f"images/{number}") for number in range(PROCESSES)]
    for number, folder in enumerate(folders):
        for picture in range(number, number + 6):
            draw(folder / f"{picture}.png", "white", (40 + picture, 40))
    running = [
        subprocess.Popen([COMMAND, "extract", str(folder), *OCR], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for folder in folders
    ]
    said = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, said
    assert ita("cache", "verify").code == 0
    records = [
        json.loads(line)
        for path in Path(".ita/cache/ocr").glob("*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert len({record["image"] for record in records}) == PROCESSES + 5
    (row,) = json.loads(ita("status", "images", *OCR, "--json").out)["stages"]
    assert (row["fresh"], row["stale"], row["failed"]) == (PROCESSES + 5, 0, 0)
    assert ita("cache", "compact").code == 0
    again = json.loads(ita("extract", "images", *OCR, "--json").out)["stages"][0]
    assert (again["fresh"], again["done"]) == (PROCESSES + 5, 0)


@pytest.fixture
def extracted() -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        draw(Path(f"here/images/{name}.png"), colour)
    answer = ita("extract", "here/images", "--preset", "bundled", "--workspace", "here", PYTHONHASHSEED="1")
    assert answer.code == 0, answer.err


def test_nothing_is_stale_in_a_moved_workspace_with_another_hash_seed(extracted: None):
    shutil.move("here", "there")
    for seed in ("2", "3"):
        found = status("there/images", "--workspace", "there", PYTHONHASHSEED=seed, HOME=str(Path.cwd()))
        assert found["clean"], found
        assert [row["fresh"] for row in found["stages"]] == [2, 2, 2]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_nothing_is_stale_for_another_user_who_cannot_write(extracted: None):
    if subprocess.run([*AS_NOBODY, "test", "-x", COMMAND], check=False).returncode:
        pytest.skip("another user cannot read this checkout")
    place = Path("/var/tmp") / f"ita-{os.getpid()}"
    shutil.copytree("here", place)
    try:
        command = [*AS_NOBODY, COMMAND, "status", str(place / "images")]
        command += ["--preset", "bundled", "--workspace", str(place), "--json"]
        nobody = {**os.environ, "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=nobody, cwd=place)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["clean"], ran.stdout
    finally:
        shutil.rmtree(place)
