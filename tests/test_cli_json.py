"""The shape of `--json` of every reading command, against `tests/json_shapes.json`, which scripts may rely on.

A shape has the names of an object's fields, the kind of each value, and of `schema` the value itself. Where a
change is meant: ITA_WRITE_SHAPES=1 python -m pytest tests/test_cli_json.py, and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import draw, ita_here

FILE = Path(__file__).parent / "json_shapes.json"
WRITE = bool(os.environ.get("ITA_WRITE_SHAPES"))
OCR = ("--preset", "bundled", "--stage", "ocr")
# Objects whose names are data: reasons, settings, splits, parts of a key.
OPEN = {"reasons", "failures", "splits", "types", "files", "posts"}
COMMANDS = {
    "extract --dry-run": ("extract", "images", *OCR, "--dry-run"),
    "extract": ("extract", "images", *OCR),
    "status": ("status", "images", *OCR, "--set", "ocr.page_mode=6"),
    "why": ("why", "images/a.png", *OCR),
    "config show": ("config", "show", "--preset", "bundled"),
    "doctor": ("doctor",),
    "data list": ("data", "list"),
    "data check": ("data", "check", "example", "--preset", "bundled", "--contexts", "none"),
    "data stats": ("data", "stats", "example"),
    "cache ls": ("cache", "ls", "--preset", "bundled"),
    "cache verify": ("cache", "verify", "--recompute", "1", *OCR),
}


def shape(value: Any, name: str = "") -> Any:
    """A value's form: lists as the forms of their items, each once, and numbers as one kind."""
    if name == "components":
        return "parts of a key"
    if isinstance(value, dict):
        if name in OPEN:
            forms = {json.dumps(shape(one), sort_keys=True) for one in value.values()}
            return {"any name": [json.loads(form) for form in sorted(forms)]}
        return {key: one if key == "schema" else shape(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [json.loads(form) for form in sorted({json.dumps(shape(one)) for one in value})]
    if isinstance(value, bool):
        return "boolean"
    return {int: "number", float: "number", str: "text", type(None): "null"}[type(value)]


def test_every_reading_command_answers_in_its_shape(monkeypatch: pytest.MonkeyPatch):
    draw(Path("images/a.png"))
    Path("images/broken.jpg").write_text("no picture")
    found = {}
    for name, arguments in COMMANDS.items():
        answer = ita_here(*arguments, "--json")
        assert answer.code in (0, 1), f"{name}: {answer.err}"
        assert len(answer.out.splitlines()) == 1, name
        found[name] = shape(json.loads(answer.out))
        assert found[name]["schema"].startswith("ita.")
        assert found[name]["schema"].endswith("/1")
    # What a setting or a check of the machine says is of many kinds.
    found["config show"]["settings"] = sorted({tuple(sorted(one)) for one in found["config show"]["settings"]})
    found["config show"]["settings"] = [list(one) for one in found["config show"]["settings"]]
    if WRITE:
        FILE.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", "utf-8")
    assert found == json.loads(FILE.read_text("utf-8"))
