"""The workspace: the folder that contains the cache, the data and the runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.store import Store


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace and the folders in it."""

    root: Path = Path()

    @property
    def store(self) -> Store:
        """The store of its cache, newly opened."""
        return Store(self.root / ".ita")

    @property
    def runs(self) -> Path:
        """The folder of its runs."""
        return self.root / "runs"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.root / "data"
