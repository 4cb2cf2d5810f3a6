"""The log of a training: one JSON object a line, one line an update and one an epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TrainingLog:
    """Appends to a file. Each line has an `event` and the number of updates done, `step`.

    A training that is taken up again goes on behind the step of its checkpoint: what was logged after it is
    dropped, since it will happen again. A `silent` one, of all but the first of several processes, writes nothing.
    """

    def __init__(self, file: Path, silent: bool = False) -> None:
        self.file, self.silent = file, silent

    def rewind(self, step: int) -> None:
        """Keep the lines up to a step, and drop a last line that was cut off."""
        if self.silent:
            return
        lines = self.file.read_text("utf-8").splitlines(keepends=True) if self.file.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and 0 <= step_of(line) <= step]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(kept), "utf-8")

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        if self.silent:
            return
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps({"event": event, "step": step, **values}) + "\n")


def step_of(line: str) -> int:
    """The step of a line, -1 where it is damaged."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1
