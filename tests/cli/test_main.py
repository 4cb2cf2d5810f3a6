"""The command line as a whole: help, and errors of the operating system."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fakes import draw, ita_here

BUNDLED = ("--preset", "bundled")
PROGRAM = str(Path(sys.executable).parent / "ita")


def test_help_begins_with_examples_and_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['ita', '--help']\n"
        "from ita_pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'cv2', 'pydantic', 'yaml', 'PIL', 'datasets', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[1:4] == ["Examples:", "ita extract images/", "ita train --dataset example"]
    assert "Usage: ita COMMAND" in lines
    assert "130 interrupted" in " ".join(lines)


def test_commands_about_pictures_load_nothing_heavy():
    draw(Path("images/a.png"))
    program = (
        "import sys\n"
        "from ita_pipeline.cli import main\n"
        "for command in ('status images', 'extract images --dry-run', 'data stats example', 'data list',\n"
        "                'data check example'):\n"
        "    sys.argv = ['ita', *command.split()]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'pandas', 'sympy', 'datasets', 'cv2'}\n"
        "print('heavy', sorted(heavy & set(sys.modules)))\n"
    )
    environment = {**os.environ, "ITA_PRESET": "bundled"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy []", done.stderr


def test_what_the_output_cannot_show_is_replaced():
    Path("tweets").mkdir()
    line = {"text": "Hi Ada", "mentions": [{"start": 3, "end": 6, "type": "PÉR"}], "split": "train"}
    Path("tweets/tweets.jsonl").write_text(json.dumps(line))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [PROGRAM, "data", "stats", "tweets"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "mentions P?R" in done.stdout


def test_without_a_command_or_with_a_group_alone_help_is_printed():
    for arguments in ([], ["data"], ["cache"], ["config"]):
        answer = ita_here(*arguments)
        assert (answer.code, answer.err) == (2, "")
        assert "Commands" in answer.out


def test_every_command_has_an_example_in_its_help():
    from ita_pipeline.cli import app, command_names

    commands = [[name] for name in command_names(app)]
    commands += [
        [group.name or "", name] for group in app.registered_groups for name in command_names(group.typer_instance)
    ]
    for command in commands:
        answer = ita_here(*command, "--help")
        assert answer.code == 0
        assert re.search(rf"^ *(cat .* \| )?ita {' '.join(command)}\b", answer.out, re.MULTILINE), command


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            PermissionError(13, "Permission denied", ".ita/cache"),
            "cannot access .ita/cache: permission denied",
            "use a folder that you may write to",
        ),
        (OSError(30, "Read-only file system", "runs"), "cannot access runs: read-only file system", "--workspace"),
        (OSError(28, "No space left on device"), "all finished batches are kept", "ita cache gc --dry-run"),
        (FileNotFoundError(2, "No usable temporary directory"), "cannot write a temporary file", "TMPDIR"),
        (OSError(5, "Input/output error"), "a file operation failed: input/output error", "fix the cause"),
    ],
)
def test_an_error_of_the_operating_system_gets_a_hint(
    error: OSError, message: str, hint: str, monkeypatch: pytest.MonkeyPatch, images: Path
):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("ita_pipeline.extraction.targets.discover", refuse)
    answer = ita_here("extract", "images", *BUNDLED)
    told, mends = answer.err.splitlines()[-2:]
    assert answer.code == 3
    assert told.startswith("error: ")
    assert message in told
    assert mends.startswith("hint: ")
    assert hint in mends


def test_a_removed_working_folder_is_reported():
    gone = Path("gone")
    gone.mkdir()
    line = f"cd gone && rmdir ../gone && {PROGRAM} status --preset bundled"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")
