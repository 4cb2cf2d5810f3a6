"""Log every update to a file, and report it to experiment trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UsageError, nearest

# The subfolder of TensorBoard's files.
TENSORBOARD = "tensorboard"


def create_reporters(names: Sequence[str], folder: Path) -> list[Any]:
    """Create a callback of `transformers` for each name. Those that write files do so in `folder`.

    Raises:
        UsageError: there is no reporter of that name.
        MissingError: its package is not installed.
    """
    return [_create_reporter(name, folder) for name in dict.fromkeys(names)]


def _create_reporter(name: str, folder: Path) -> Any:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if name not in INTEGRATION_TO_CALLBACK:
        known = sorted(INTEGRATION_TO_CALLBACK)
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        raise UsageError(f"there is no logger {name}", hint)
    try:
        reporter = INTEGRATION_TO_CALLBACK[name]()
    except (RuntimeError, ImportError) as error:
        what = f"--report-to {name} needs a package that is not installed"
        raise MissingError(what, f"pip install {name}") from error
    if name == TENSORBOARD and reporter.logging_dir is None:
        reporter.logging_dir = str(folder / TENSORBOARD)
    return reporter


class TrainingLog:
    """A log of JSON lines, each with an `event` and the number of finished updates, `step`.

    A resumed training drops the lines after its checkpoint, since these updates happen again. A silent log, that of
    all processes but the main one, writes nothing.
    """

    def __init__(self, file: Path, is_silent: bool = False) -> None:
        self.file, self.is_silent = file, is_silent

    def rewind(self, step: int) -> None:
        """Keep the lines up to a step, and drop a truncated last line."""
        if self.is_silent:
            return
        lines = self.file.read_text("utf-8").splitlines(keepends=True) if self.file.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and 0 <= _read_step(line) <= step]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(kept), "utf-8")

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Append a line."""
        if not self.is_silent:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, "step": step, **values}) + "\n")


def _read_step(line: str) -> int:
    """The step of a line, -1 if it is damaged."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1
