"""One rule for exit codes: 2 for what was typed or configured, 3 for what is named and missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cli import app, command_names
from tests.support.fakes import ita_here

NAMED_AND_MISSING = {
    "extract": ["gone"],
    "status": ["gone"],
    "why": ["gone.jpg"],
    "train": ["--dataset", "gone"],
    "evaluate": ["gone", "example"],
    "predict": ["gone", "--text", "hi"],
    "demo": ["gone"],
    "report": ["gone", "--html", "new.html"],
    "compare": ["gone", "gone"],
    "export-model": ["gone", "--to", "new"],
    "runs list": ["gone"],
    "runs name": ["gone", "name"],
    "runs rm": ["gone", "--yes"],
    "cache pull": ["gone"],
    "data check": ["gone"],
    "data stats": ["gone"],
    "data import": ["./gone", "--to", "new"],
    "data import-contexts": ["gone.tsv"],
    "data export": ["gone", "--to", "new"],
}

# These commands name nothing that may be missing.
NAMING_NOTHING = {
    *("doctor", "init", "data list", "config show", "config trust"),
    *("cache ls", "cache verify", "cache compact", "cache gc", "cache push", "cache export"),
}


def commands() -> list[str]:
    groups = [(f"{group.name} ", group.typer_instance) for group in app.registered_groups]
    return [f"{prefix}{name}" for prefix, group in [("", app), *groups] for name in command_names(group)]


def test_every_command_is_here():
    assert set(commands()) == set(NAMED_AND_MISSING) | NAMING_NOTHING


@pytest.mark.parametrize("command", NAMED_AND_MISSING)
def test_what_is_named_and_missing_has_code_3(command: str):
    answer = ita_here(*command.split(), *NAMED_AND_MISSING[command])
    assert answer.code == 3, answer.err
    error, hint = answer.err.splitlines()[-2:]
    assert (error.split()[0], hint.split()[0]) == ("error:", "hint:")
    assert "gone" in error


@pytest.mark.parametrize("command", commands())
def test_what_was_typed_or_configured_has_code_2(command: str):
    arguments = [*command.split(), *NAMED_AND_MISSING.get(command, ())]
    typed = ita_here(*arguments, "--nonsense")
    assert (typed.code, "no such option: --nonsense" in typed.err) == (2, True), typed.err
    Path("ita.yaml").write_text("prest: bundled\n")
    configured = ita_here(*arguments)
    assert (configured.code, "ita.yaml:1: prest is not a setting" in configured.err) == (2, True), configured.err
