"""The folder that a person works in: where the cache, the data and the runs lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.store import Store


@dataclass(frozen=True, slots=True)
class Workspace:
    root: Path = Path()

    @property
    def store(self) -> Store:
        return Store(self.root / ".ita")

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def data(self) -> Path:
        return self.root / "data"
