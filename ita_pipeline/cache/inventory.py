"""The contents of the store: its keys with their sizes, and a check of every line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.index import Damage
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import read_lines
from ita_pipeline.cache.store import Store, read_key


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The records under a key, its segments, their bytes, and when it was last used, in seconds since 1970.

    In a shared cache, records could be counted only by reading all of them, so these numbers are None.
    """

    key: StageKey
    folder: Path
    values: int | None
    failures: int | None
    segments: int
    size: int
    used: float


def list_keys(store: Store) -> list[KeyUsage]:
    """List all keys of the store by stage, the one used last first."""
    usages: list[KeyUsage] = []
    for file in store.key_files():
        key, folder = read_key(file), file.parent
        if key is None:
            continue
        store.index.refresh(folder)
        summary = store.index.summarize(folder)
        sizes = [path.stat().st_size for path in folder.glob("*.jsonl")]
        used = file.stat().st_mtime
        usages.append(KeyUsage(key, folder, summary.values, summary.failures, len(sizes), sum(sizes), used))
    return sorted(usages, key=usage_order)


def usage_order(usage: KeyUsage) -> tuple[str, float]:
    """Sort key for keys: by stage, the one used last first."""
    return usage.key.stage, -usage.used


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of reading every segment: counts, and the damaged lines."""

    segments: int = 0
    lines: int = 0
    damage: tuple[Damage, ...] = ()

    def __add__(self, other: Verification) -> Verification:
        return Verification(self.segments + other.segments, self.lines + other.lines, self.damage + other.damage)


def verify_segment(path: Path, address: Path | str, size: int | None = None) -> Verification:
    """Read every line of a segment and compare its check sum.

    With the `size` that the segment should have, a missing end is damage of line 0.
    """
    lines = end = 0
    damage: list[Damage] = []
    with path.open("rb") as segment:
        for line in read_lines(segment):
            lines, end = lines + 1, line.end
            if not line.is_intact:
                damage.append(Damage(address, line.number, line.image))
    if size is not None and (end != size or not end):
        damage.append(Damage(address, 0, ""))
    return Verification(1, lines, tuple(damage))


def verify(store: Store) -> Verification:
    """Verify every segment, whatever the index contains."""
    paths = sorted((store.root / "cache").glob("*/*/*.jsonl"))
    return sum((verify_segment(path, path) for path in paths), Verification())
