"""What long work reports while it runs: progress, through which it can be stopped, and remarks."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

ACTIVITY_LOGGER = "ita_pipeline.activity"

_current: ContextVar[str] = ContextVar("activity", default="")


class Progress(Protocol):
    """A display of the progress of work, such as one bar for each stage.

    All stages are started before the first one advances, and `finish` ends them all. Work checks `stop_requested`
    after each batch, and ends early where it is true.
    """

    @property
    def stop_requested(self) -> bool:
        """Whether the work should end after the current batch."""
        ...

    def start(self, stage: str, total: int) -> None:
        """Show a stage with `total` items."""

    def advance(self, stage: str, done: int) -> None:
        """Count `done` more items of a stage."""

    def finish(self) -> None:
        """End the display of all stages."""


class NoProgress(Progress):
    """Displays nothing and never asks to stop."""

    stop_requested: bool = False  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]


def show_activity(text: str) -> None:
    """Report what happens now, such as `loading the model`, to a display that may show it; no text ends it."""
    logging.getLogger(ACTIVITY_LOGGER).debug(text)


@contextmanager
def activity(text: str) -> Generator[None]:
    """Report an activity for the time of a block; after it, that of the block around it."""
    token = _current.set(text)
    show_activity(text)
    try:
        yield
    finally:
        _current.reset(token)
        show_activity(_current.get())


class Notes:
    """Remarks that are also part of a result: distinct lines, each logged when it is added for the first time."""

    def __init__(self, logger: logging.Logger) -> None:
        self.lines: list[str] = []
        self._logger = logger

    def add(self, line: str) -> None:
        """Add a remark unless it was added before."""
        if line not in self.lines:
            self.lines.append(line)
            self._logger.info(line)
