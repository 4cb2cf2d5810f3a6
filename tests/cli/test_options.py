"""Shell completion of commands, options and names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fakes import ita_here as ita

BUNDLED = ("--preset", "bundled")
PROGRAM = str(Path(sys.executable).parent / "ita")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ita da", {"data"}),
        ("ita data ch", {"check"}),
        ("ita extract --preset b", {"bundled"}),
        ("ita data check twitter", {"twitter15", "twitter17"}),
        ("ita extract --st", {"--stage"}),
    ],
)
def test_the_shell_completes_commands_options_and_names(typed: str, offered: set[str]):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_ITA_COMPLETE": "complete_bash"}
    assert set(ita(**words).out.split()) == offered


def test_the_completion_script_works_in_bash():
    script = """
        source <(ita --show-completion bash)
        complete -p ita
        for words in "ita ext" "ita cache ver" "ita status --exit" "ita train --dataset example --preset bun"; do
            COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _ita_completion ita
            echo "${COMPREPLY[@]}"
        done
    """
    path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    registered, *offered = done.stdout.splitlines()
    assert "-F _ita_completion ita" in registered, done.stderr
    assert offered == ["extract", "verify", "--exit-code", "bundled"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_completion_script(shell: str):
    answer = ita("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert answer.code == 0
    assert "_ITA_COMPLETE" in answer.out
