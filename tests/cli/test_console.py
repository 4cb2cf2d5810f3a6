"""Output that suits terminals, pipes and scripts: tables, colors, progress and `--quiet`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ita_pipeline.cli.console import ProgressDisplay
from tests.support.fakes import ita, ita_here

BUNDLED = ("--preset", "bundled")
PROGRAM = str(Path(sys.executable).parent / "ita")


def terminal(arguments: Sequence[str], columns: int, code: int = 0, **environment: str) -> str:
    """What a terminal of so many columns shows of a command that ends with this code."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    process = subprocess.Popen([PROGRAM, *arguments], stdout=follower, stderr=follower, stdin=follower, env=env)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait(60) == code
    return shown.decode().replace("\r\n", "\n")


def test_no_color_leaves_out_the_colors_of_help():
    assert "\x1b[" in terminal(["--help"], 80)
    assert "\x1b[" not in terminal(["--help"], 80, NO_COLOR="1")


def test_a_narrow_terminal_gets_stacked_lines_instead_of_a_table():
    wide, narrow = terminal(["data", "stats", "example"], 80), terminal(["data", "stats", "example"], 30)
    assert re.search(r"^posts +136 +40 +64$", wide, re.MULTILINE)
    assert "posts\n  train  136\n  dev    40\n  test   64\n" in narrow
    assert "ita extract images/" in terminal(["--help"], 40)


@pytest.mark.parametrize("columns", [40, 80])
def test_help_and_data_fit_the_terminal(columns: int):
    for arguments in (["--help"], ["extract", "--help"], ["data", "stats", "example"]):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal(arguments, columns))
        wide = [line for line in shown.splitlines() if len(line) > columns]
        assert wide == []


def test_no_color_leaves_out_the_colors_of_data_and_errors():
    assert "\x1b" not in terminal(["data", "stats", "example"], 80, NO_COLOR="1")
    assert "\x1b" not in terminal(["extract", "gone"], 80, 3, NO_COLOR="1")


def test_a_terminal_gets_colored_labels_and_indented_lines():
    shown = terminal(["predict", "example", "--text", "a", "--parts", "b", "--to", "new"], 40, 2)
    assert shown.startswith("\x1b[31m\x1b[1merror:\x1b[0m --to requires --source")
    assert "\x1b[36m\x1b[1mhint:\x1b[0m" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith(("error: ", "hint: ", "  ")) for line in lines)
    assert len(lines) > 2


def test_a_terminal_shows_what_a_command_is_doing(images: Path):
    shown = terminal(["extract", "images", *BUNDLED, "--stage", "ocr"], 80)
    assert "identifying the models" in shown
    assert "identifying" not in terminal(["extract", "images", *BUNDLED, "--stage", "ocr", "--quiet"], 80)


def test_a_terminal_shows_progress_rate_and_remaining_time_of_each_stage(images: Path):
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal(["extract", "images", *BUNDLED, "--stage", "ocr"], 80))
    assert re.search(r"ocr ━+ +0/\d+ –/s -:--:--", shown)
    assert re.search(r"ocr ━+ +(\d+)/\1 \d+\.\d/s 0:00:00", shown)


def test_a_pipe_gets_no_control_characters(images: Path):
    for arguments in (["--help"], ["extract", "images", *BUNDLED, "--stage", "ocr"], ["data", "list"], ["extrct"]):
        answer = ita(*arguments)
        control = [c for c in answer.out + answer.err if ord(c) < 32 and c != "\n"]
        assert control == [], arguments


def test_a_pipe_closed_early_ends_a_command_silently(images: Path):
    assert ita_here("extract", "images", *BUNDLED, "--stage", "ocr").code == 0
    for command in ("config show --preset bundled --origin", "why images/a.png --preset bundled --stage ocr"):
        line = f"{PROGRAM} {command} | head -1"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr in ("", "using preset `bundled` (from --preset)\n")


def test_a_pipe_gets_a_table_of_any_width():
    answer = ita("data", "stats", "example", COLUMNS="20")
    assert re.search(r"^posts +136 +40 +64$", answer.out, re.MULTILINE)


def test_a_closed_pipe_prints_no_error():
    command = f"{PROGRAM} config show --preset bundled --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_results_go_to_stdout_and_messages_to_stderr(images: Path):
    answer = ita_here("extract", "images", *BUNDLED, "--stage", "ocr")
    assert answer.out.splitlines()[0].split() == ["stage", "fresh", "done", "now", "failed", "seconds"]
    assert answer.err == "using preset `bundled` (from --preset)\n"


def test_quiet_prints_only_results_and_errors(images: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ITA_QUIET", "")
    for arguments in (["--quiet", "extract", "images"], ["extract", "images", "-q"]):
        monkeypatch.setenv("ITA_QUIET", "")
        answer = ita_here(*arguments, *BUNDLED, "--stage", "ocr")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.startswith("stage")
    refused = ita_here("extract", "gone", "--quiet").err
    assert refused.startswith("error: there is no folder gone, and no dataset of that name\nhint: ")


def test_without_a_terminal_progress_is_a_line_per_unfinished_stage(capsys: pytest.CaptureFixture[str]):
    display = ProgressDisplay(seconds_between_lines=0)
    display.start("ocr", 4)
    display.start("caption", 2)
    display.advance("ocr", 3)
    display.advance("caption", 2)
    display.finish()
    first, nothing, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"ocr: 3 of 4, \d+\.\d/s, \d+ s left", first)
    assert nothing == "caption: 0 of 2, 0.0/s, nothing done yet"
    assert last.startswith("ocr: 3 of 4")
