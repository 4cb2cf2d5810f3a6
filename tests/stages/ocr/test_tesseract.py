"""The guard of Tesseract, with the real Tesseract and with scripts that misbehave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytesseract
import pytest
from PIL import Image

from stages.base import Failure, FailureKind, Item, StageError, Value
from stages.ocr.schema import OcrConfig
from stages.ocr.stage import OcrStage
from stages.ocr.tesseract import find_tesseract, load_pytesseract, read_pages
from tests.support.texts import written

can_die_with_its_parent = pytest.mark.skipif(
    subprocess.run(["sh", "-c", "setpriv --pdeathsig KILL true"], capture_output=True, check=False).returncode != 0,
    reason="setpriv is missing or cannot do this",
)

# Text and not noise: Tesseract writes messages about noise, and ends if their pipe is closed.
READ_FOR_LONG = """
from PIL import Image, ImageDraw, ImageFont
from stages.base import Item
from stages.ocr import OcrConfig, OcrStage

picture = Image.new("RGB", (2400, 2400), "white")
for y in range(10, 2360, 40):
    text = "The quick brown fox jumps over the lazy dog 0123456789 " * 5
    ImageDraw.Draw(picture).text((20, y), text, "black", ImageFont.load_default(size=24))
OcrStage(OcrConfig(page_mode=11, workers=2)).run([Item(name, name, lambda: picture) for name in "abcd"])
"""

# The table of an image without text, for printf.
COLUMNS = "level page_num block_num par_num line_num word_num left top width height conf text"
TABLE = "\\t".join(COLUMNS.split()) + "\\n1\\t1" + "\\t0" * 6 + "\\t640\\t240\\t-1\\t\\n"


REAL_TESSERACT = shutil.which("tesseract")


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def read(picture: Image.Image, **settings: object) -> Value | Failure:
    (result,) = OcrStage(OcrConfig(**settings)).run([Item("a", "a.png", lambda: picture)])
    return result


def tesseracts(mark: str) -> list[float]:
    """Return the CPU seconds of each Tesseract that has `mark` in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark.encode() in (process / "environ").read_bytes()
            if marked and (process / "comm").read_text().strip() == "tesseract":
                user = (process / "stat").read_text().rpartition(")")[2].split()[11]
                found.append(int(user) / os.sysconf("SC_CLK_TCK"))
        except OSError:  # the process has ended, or belongs to another user
            continue
    return found


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of Tesseract."""

    def put(script: str) -> None:
        (tmp_path / "tesseract").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "tesseract").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return put


@pytest.fixture
def kill_first(pretend: Callable[[str], None], tmp_path: Path) -> Callable[[str], None]:
    """Kill Tesseract the first time that it gets an argument; `signal` is its name."""

    def put(argument: str, signal: str = "KILL") -> None:
        once = f"[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; kill -{signal} $$; }}"
        pretend(f'case "$*" in *{argument}*) {once};; esac; exec {REAL_TESSERACT} "$@"')

    return put


@can_die_with_its_parent
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_no_tesseract_outlives_its_parent(tmp_path: Path, sent: signal.Signals):
    mark = f"GUARD_TEST={tmp_path}"
    own = {"GUARD_TEST": str(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", READ_FOR_LONG], env={**os.environ, **own})
    try:
        # Well after the whole picture was handed over; one cut short would end Tesseract anyhow.
        assert wait_until(lambda: [seconds > 2 for seconds in tesseracts(mark)] == [True, True], 100)
        assert parent.poll() is None
    finally:
        parent.send_signal(sent)
        parent.wait()
    assert wait_until(lambda: not tesseracts(mark) and not list(tmp_path.iterdir()), 5)


@can_die_with_its_parent
def test_tesseract_does_not_start_after_its_parent_has_died(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stages.ocr.tesseract.os.getpid", lambda: 999_999_999)
    result = read(written("MARLOW"))
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.TRANSIENT


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("true", "Tesseract took longer than 1 s"),
        pytest.param("kill -KILL $PPID", "Tesseract crashed (SIGKILL)", marks=can_die_with_its_parent),
    ],
)
def test_no_tesseract_outlives_a_timeout_or_the_end_of_its_guard(
    pretend: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    pretend(f"echo $$ >{tmp_path}/number; {end}; exec sleep 60")
    result = read(written("MARLOW"), timeout=1)
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.RESOURCE
    assert result.reason.startswith(reason)
    process = Path("/proc", (tmp_path / "number").read_text().strip())
    assert wait_until(lambda: not process.exists(), 5)
    assert list(temporary.iterdir()) == []


def test_other_calls_of_pytesseract_bypass_the_guard():
    load_pytesseract()
    assert pytesseract.image_to_string(written("MARLOW")).strip() == "MARLOW"
    assert "eng" in pytesseract.get_languages()


def test_a_guard_that_cannot_be_executed_stops_the_stage():
    with pytest.raises(StageError, match="cannot execute /no/such/guard"):
        read_pages([written("MARLOW")], ["--psm", "6"], 60, 2048, Path("/no/such/guard"))


def test_tesseract_has_one_thread_and_the_process_keeps_its_own_limit(
    pretend: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    pretend(f"echo $OMP_THREAD_LIMIT >{tmp_path}/threads")
    read(written("MARLOW"))
    assert (tmp_path / "threads").read_text() == "1\n"
    assert "OMP_THREAD_LIMIT" not in os.environ


def test_too_little_memory_is_a_failure_of_resources():
    result = read(noise(2400), page_mode=11, memory=96)
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.RESOURCE
    assert result.reason == "Tesseract ran out of memory: ocr.memory allows it 96 MB"


def test_with_little_memory_a_picture_is_read_completely_or_not_at_all():
    picture = written(*["A SIGN IN MARLOW"] * 7, size=(1000, 700))
    whole = read(picture, page_mode=3)
    assert not isinstance(whole, Failure)
    for memory in range(82, 98, 2):
        result = read(picture, page_mode=3, memory=memory)
        assert result == whole or (isinstance(result, Failure) and result.kind == FailureKind.RESOURCE)


def test_a_table_is_rejected_if_a_message_says_out_of_memory(pretend: Callable[[str], None]):
    pretend(f"printf '{TABLE}' >\"$2.tsv\"")
    assert not isinstance(read(written("MARLOW"), page_mode=11), Failure)
    pretend(f"printf '{TABLE}' >\"$2.tsv\"; echo 'Error in pixCreateNoInit: pixdata_malloc fail for data' >&2")
    result = read(written("MARLOW"), page_mode=11)
    assert isinstance(result, Failure)
    assert result.kind == FailureKind.RESOURCE


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        ("kill -SEGV $$", FailureKind.RESOURCE, "Tesseract crashed (SIGSEGV), perhaps out of memory"),
        ("kill -KILL $$", FailureKind.RESOURCE, "Tesseract crashed (SIGKILL), perhaps out of memory"),
        ("kill -FPE $$", FailureKind.PERMANENT, "Tesseract crashed (SIGFPE), by an error of its own"),
        ("echo bad picture >&2; exit 1", FailureKind.TRANSIENT, "Tesseract: bad picture"),
        ("exit 3", FailureKind.TRANSIENT, "Tesseract: exit code 3"),
        ("kill -TERM $$", FailureKind.TRANSIENT, "Tesseract was ended by SIGTERM"),
        ("exit 0", FailureKind.TRANSIENT, "Tesseract's table is damaged"),
        (f"printf '{TABLE}Hel' >\"$2.tsv\"", FailureKind.TRANSIENT, "Tesseract's table is damaged"),
        ("printf 'level\\ttext\\n1\\n' >\"$2.tsv\"", FailureKind.TRANSIENT, "Tesseract's table is damaged"),
    ],
)
def test_each_other_end_of_tesseract_is_a_failure_with_its_reason(
    pretend: Callable[[str], None], script: str, kind: FailureKind, reason: str
):
    pretend(script)
    result = read(written("MARLOW"))
    assert isinstance(result, Failure)
    assert result.kind == kind
    assert result.reason.startswith(reason)


@pytest.mark.parametrize("argument", ["--version", "--list-langs"])
def test_a_tesseract_that_is_killed_once_at_the_start_is_asked_again(
    kill_first: Callable[..., None], tmp_path: Path, argument: str
):
    expected = find_tesseract()
    kill_first(argument)
    assert find_tesseract() == expected
    assert (tmp_path / "once").exists()


@pytest.mark.parametrize("end", ["kill -KILL $$", "sh -c 'kill -KILL $$'"])
def test_a_tesseract_that_is_always_killed_is_named_with_the_signal(pretend: Callable[[str], None], end: str):
    pretend(f'case "$*" in *--list-langs*) {end}; exit $?;; esac; exec {REAL_TESSERACT} "$@"')
    with pytest.raises(StageError, match=r"killed twice.*SIGKILL") as error:
        find_tesseract()
    assert "language" not in f"{error.value} {error.value.hint}"
    assert "again" in error.value.hint


@pytest.mark.parametrize("signal", ["KILL", "SEGV", "TERM"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_tesseract_that_is_killed_once_costs_no_picture(
    kill_first: Callable[..., None], tmp_path: Path, signal: str, count: int
):
    pictures = [written("MARLOW")] * count
    items = [Item(str(number), "a.png", lambda picture=picture: picture) for number, picture in enumerate(pictures)]
    expected = OcrStage(OcrConfig(workers=1)).run(items)
    kill_first("pages.tif", signal)
    assert OcrStage(OcrConfig(workers=1)).run(items) == expected
    assert (tmp_path / "once").exists()


def test_a_tesseract_that_does_not_start_stops_the_stage(pretend: Callable[[str], None]):
    pretend("exec /no/such/file")
    with pytest.raises(StageError, match="Tesseract does not start"):
        read(written("MARLOW"))


def test_the_memory_limit_is_not_part_of_the_key():
    little, much = OcrStage(OcrConfig(memory=64)), OcrStage(OcrConfig(memory=9999))
    assert little.parameters() == much.parameters()
    assert little.identity() == much.identity()
