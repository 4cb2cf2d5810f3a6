"""Looking after the store: what lies in it, whether it is whole, and its segments brought together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.index import Damage, Entry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.segments import SegmentWriter, being_written, damaged, generation, scan, sync_folder
from ita_pipeline.cache.store import KEY_FILE, Reader, Store, read_key

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies under one key: its records, its segments and their bytes, and when it was used last, in seconds
    since 1970.
    """

    key: StageKey
    folder: Path
    values: int
    failures: int
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


@dataclass(frozen=True, slots=True)
class Compacted:
    """What bringing a key's segments together came to."""

    folder: Path
    segments: int
    records: int
    dropped: int


def compact(store: Store, drop_damaged: bool = False) -> Iterator[Compacted]:
    """Bring the segments of each key together in one, with the records that hold and without those outranked.

    A segment that a process still writes to is left alone. The new one is safe on disk before an old one goes.

    Raises:
        CorruptCacheError: a line is damaged, and `drop_damaged` was not asked for; that key is left as it is.
    """
    for folder in sorted(file.parent for file in (store.root / "cache").glob(f"*/*/{KEY_FILE}")):
        old = sorted(path for path in folder.glob("*.jsonl") if not being_written(path))
        store.index.refresh(folder)
        damage = [found for found in store.index.damage(folder) if found.segment in old]
        if damage and not drop_damaged:
            raise damaged(damage[0].segment, damage[0].line)
        if len(old) > 1 or damage:
            kept = [entry for entry in store.index.entries(folder) if entry.segment in old]
            bring_together(folder, old, kept)
            yield Compacted(folder, len(old), len(kept), len(damage))


def bring_together(folder: Path, old: Sequence[Path], kept: Sequence[Entry]) -> None:
    rank = max(generation(path) for path in old)
    made = SegmentWriter(folder, rank)
    # Not a segment by its name until it is complete: a crash leaves nothing that is read.
    final, made.path = made.path, made.path.with_suffix(".making")
    try:
        with Reader() as reader:
            for start in range(0, len(kept), BATCH):
                lines = [reader.line(entry) + b"\n" for entry in kept[start : start + BATCH]]
                made.append_lines(b"".join(lines))
        made.close()
        if kept:
            made.path.replace(final)
            sync_folder(folder)
    except BaseException:
        made.close()
        made.path.unlink(missing_ok=True)
        raise
    for path in old:
        os.unlink(path)  # noqa: PTH108
    sync_folder(folder)
