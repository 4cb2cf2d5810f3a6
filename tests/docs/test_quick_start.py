"""The quick start does what it shows: every command is run, in order, in a fresh folder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.sessions import fits, said_by, steps

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quick-start.md").read_text("utf-8")
# The same commands with less to do: one epoch of eight, and objects without attributes.
SHORTER = {"ITA_TRAINING__EPOCHS": "1", "ITA_OBJECTS__ATTRIBUTES": "none"}


def test_every_command_does_what_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    Path("examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, value in SHORTER.items():
        monkeypatch.setenv(name, value)
    found = list(steps(PAGE))
    assert len(found) >= 8
    for step in found:
        code, said = said_by(step.command)
        assert code == 0, f"$ {step.command}\n{said}"
        assert fits(step.shown, said.splitlines()), f"$ {step.command}\n{said}"
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out.startswith("text+image [")


def test_output_that_is_not_as_shown_is_noticed():
    shown = ["stage  fresh  seconds", "ocr        1      0.3", "[…]", "run  runs/x/0123456789abcdef"]
    assert fits(shown, ["stage   fresh   seconds", "ocr  1  12.9", "run  runs/x/fedcba9876543210"])
    assert fits(shown, ["stage  fresh  seconds", "ocr  1  0.1", "more", "more", "run runs/x/fedcba9876543210"])
    for wrong in (
        ["stage  fresh  seconds", "ocr  2  0.3", "run  runs/x/fedcba9876543210"],
        ["stage  stale  seconds", "ocr  1  0.3", "run  runs/x/fedcba9876543210"],
        ["stage  fresh  seconds", "ocr  1  0.3"],
    ):
        assert not fits(shown, wrong)
