"""The README's session is what a person sees: every command is run, in order, in a fresh folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.sessions import fits, said_by, steps

ROOT = Path(__file__).parents[2]
# The same commands with less to do: two epochs of eight, and objects without attributes.
SHORTER = {"ITA_TRAINING__EPOCHS": "2", "ITA_OBJECTS__ATTRIBUTES": "none"}
# What `make` and its setup look at; the tests are not run within a test.
NEEDED = ("Makefile", "configs", "constraints.txt", "examples", "pyproject.toml", "scripts")
ELSEWHERE = ("make test", ". .venv/bin/activate")


@pytest.fixture
def checkout() -> None:
    """The project as after `make setup`, with the environment that runs the tests."""
    for name in NEEDED:
        Path(name).symlink_to(ROOT / name)
    Path(".venv").mkdir()
    Path(".venv/bin").symlink_to(Path(sys.executable).parent)
    Path(".venv/.ready").touch()
    Path("images").symlink_to(ROOT / "examples" / "posts" / "images")  # the reader's own


@pytest.mark.usefixtures("checkout")
def test_every_command_does_what_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", f"{Path('.venv/bin').absolute()}{os.pathsep}{os.environ['PATH']}")
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that these tests may be part of
        monkeypatch.delenv(name, raising=False)
    for name, value in SHORTER.items():
        monkeypatch.setenv(name, value)
    for step in steps((ROOT / "README.md").read_text("utf-8")):
        if step.command.startswith(ELSEWHERE) or not step.shown:
            continue
        code, said = said_by(step.command)
        assert code == 0, f"$ {step.command}\n{said}"
        assert fits(step.shown, said.splitlines()), f"$ {step.command}\n{said}"
