"""The shape of what commands say with `--json`, against `tests/json_shapes.json`, which scripts may rely on.

A shape has the names of an object's fields, the kind of each value, and of `schema` the value itself. Where a
change is meant: ITA_WRITE_SHAPES=1 python -m pytest -k shape, and read the difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "json_shapes.json"
WRITE = bool(os.environ.get("ITA_WRITE_SHAPES"))
# Objects whose names are data: reasons, settings, splits, parts of a key.
OPEN = {"reasons", "failures", "splits", "types", "files", "posts"}


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


def check(found: Mapping[str, Any]) -> None:
    """Compare shapes, by command, with those on record."""
    known = json.loads(FILE.read_text("utf-8"))
    for shapes in found.values():
        assert shapes["schema"].startswith("ita.")
        assert shapes["schema"].endswith("/1")
    if WRITE:
        FILE.write_text(json.dumps({**known, **found}, indent=2, sort_keys=True) + "\n", "utf-8")
        return
    assert {**known, **found} == known
