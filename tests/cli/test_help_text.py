"""Help of every command: its width, its length, its sections, and the forms of values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from ita_pipeline.cli import app
from ita_pipeline.cli.help_text import format_help


def _every_command(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _every_command(below, f"{path} {name}")


COMMANDS = dict(_every_command(get_command(app), "ita"))


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("path", COMMANDS)
def test_help_fits_the_terminal(path: str, columns: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = format_help(COMMANDS[path], path).splitlines()
    assert [line for line in lines if len(line) > columns] == []
    assert "<bool>" not in "\n".join(lines)
    # Every option of a command has a section; only `ita` itself has general options.
    assert ("Options:" in lines) == (path == "ita")


def test_help_of_training_has_at_most_70_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = format_help(COMMANDS["ita train"], "ita train")
    assert len(shown.splitlines()) <= 70
    titles = ["Examples:", "Input:", "Models:", "What to run:", "Where:", "Output:"]
    assert [line for line in shown.splitlines() if line in titles] == titles
    assert "Usage: ita train --dataset NAME [OPTIONS]" in shown
    assert "\n  --[no-]alignment       Align the views T and I+T;" in shown


def test_a_broken_example_continues_after_a_backslash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = format_help(COMMANDS["ita predict"], "ita predict")
    assert '  ita predict example --text \\\n    "Lunch in Marlow" --image sign.jpg\n' in shown
