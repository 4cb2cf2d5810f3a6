"""How long work reports its progress, and how it is asked to stop."""

from __future__ import annotations

from typing import Protocol


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


class NoProgress:
    """Displays nothing and never asks to stop."""

    stop_requested = False

    def start(self, stage: str, total: int) -> None:
        """Do nothing."""

    def advance(self, stage: str, done: int) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
