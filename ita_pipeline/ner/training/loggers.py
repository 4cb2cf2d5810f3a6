"""Log every update to a file, and report it to experiment trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UsageError, nearest

# In the folder of the run: where TensorBoard's files are written, which knows no server.
TENSORBOARD = "tensorboard"


def create_reporters(names: Sequence[str], folder: Path) -> list[Any]:
    """A callback for each name; those that write files do so below `folder`.

    Raises:
        UsageError: there is no reporter of that name.
        MissingError: its package is not installed.
    """
    return [create_reporter(name, folder) for name in dict.fromkeys(names)]


def create_reporter(name: str, folder: Path) -> Any:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if name not in INTEGRATION_TO_CALLBACK:
        known = sorted(INTEGRATION_TO_CALLBACK)
        raise UsageError(
            f"nobody is called {name} to report to", nearest(name, known) or f"known are {', '.join(known)}"
        )
    try:
        made = INTEGRATION_TO_CALLBACK[name]()
    except (RuntimeError, ImportError) as error:
        raise MissingError(
            f"--report-to {name} needs a package that is not installed", f"pip install {name}"
        ) from error
    if name == TENSORBOARD and made.logging_dir is None:
        made.logging_dir = str(folder / TENSORBOARD)
    return made


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
