"""Looking after the store: what lies in it, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import scan
from ita_pipeline.cache.store import KEY_FILE, Store, read_key


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies under one key: its records, its segments and their bytes, and when it was used last, in seconds
    since 1970. Of a shared cache, whose records only reading everything would count, those are nothing.
    """

    key: StageKey
    folder: Path
    values: int | None
    failures: int | None
    segments: int
    size: int
    used: float


def holdings(store: Store) -> list[Holding]:
    """All keys of the store, stage by stage, the one used last first."""
    found = []
    for file in (store.root / "cache").glob(f"*/*/{KEY_FILE}"):
        key = read_key(file)
        if key is None:
            continue
        store.index.refresh(file.parent)
        summary = store.index.summary(file.parent)
        sizes = [path.stat().st_size for path in file.parent.glob("*.jsonl")]
        used = file.stat().st_mtime
        found.append(Holding(key, file.parent, summary.values, summary.failures, len(sizes), sum(sizes), used))
    return sorted(found, key=lambda holding: (holding.key.stage, -holding.used))


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading every segment found: lines that are whole, and lines that are not what was written there."""

    segments: int
    lines: int
    damage: tuple[Damage, ...]


def verify(store: Store) -> Checked:
    """Read every line of every segment and hold it against its check sum, whatever the index says."""
    segments = lines = 0
    damage: list[Damage] = []
    for path in sorted((store.root / "cache").glob("*/*/*.jsonl")):
        segments += 1
        with path.open("rb") as opened:
            for line in scan(opened):
                lines += 1
                if not line.good:
                    damage.append(Damage(path, line.number, line.image))
    return Checked(segments, lines, tuple(damage))
