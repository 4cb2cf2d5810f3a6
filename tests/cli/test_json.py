"""What every reading command says with `--json` has its shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.fakes import Answer, draw, ita_here
from tests.support.json_shapes import check, shape
from tests.support.small_dataset import SETTINGS

OCR = ("--preset", "bundled", "--stage", "ocr")
COMMANDS = {
    "extract --dry-run": ("extract", "images", *OCR, "--dry-run"),
    "extract": ("extract", "images", *OCR),
    "status": ("status", "images", *OCR, "--set", "ocr.page_mode=6"),
    "why": ("why", "images/a.png", *OCR),
    "train --dry-run": ("train", "--dataset", "example", "--preset", "bundled", "--dry-run"),
    "config show": ("config", "show", "--preset", "bundled"),
    "doctor": ("doctor",),
    "data list": ("data", "list"),
    "data check": ("data", "check", "example", "--preset", "bundled", "--contexts", "none"),
    "data stats": ("data", "stats", "example"),
    "cache ls": ("cache", "ls", "--preset", "bundled"),
    "cache verify": ("cache", "verify", "--recompute", "1", *OCR),
}


def test_the_json_of_every_reading_command_has_its_shape():
    draw(Path("images/a.png"))
    Path("images/broken.jpg").write_text("no picture")
    found = {}
    for name, arguments in COMMANDS.items():
        answer = ita_here(*arguments, "--json")
        assert answer.code in (0, 1), f"{name}: {answer.err}"
        assert len(answer.out.splitlines()) == 1, name
        found[name] = shape(json.loads(answer.out))
    # What a setting or a check of the machine says is of many kinds.
    found["config show"]["settings"] = sorted({tuple(sorted(one)) for one in found["config show"]["settings"]})
    found["config show"]["settings"] = [list(one) for one in found["config show"]["settings"]]
    check(found)


def test_the_json_of_commands_about_runs_has_its_shape(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    _, run = trained
    commands = {
        "train": ("train", "--dataset", "mine", *SETTINGS),
        "status of a dataset": ("status", "mine", *SETTINGS),
        "predict": ("predict", run, "--text", "hi kim", "--image", "mine/0.png"),
        "compare": ("compare", run, run),
        "evaluate": ("evaluate", run, "mine"),
    }
    check({name: shape(json.loads(ita_here(*arguments, "--json").out)) for name, arguments in commands.items()})
