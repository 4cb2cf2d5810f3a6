"""Segments brought together, so that there are few of them and none holds what later ones replaced.

Of the segments chosen, every record that holds is written to a new segment, safe on disk before an old one goes; a
note says what was brought together in what. Any number of processes may do this at once, and at the worst leave a
record twice: one is left out only where the chosen segments hold another of the same picture that stays, or where
another generation, or a value in place of a failure, outranks it for good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import Entry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.lineage import Merge
from ita_pipeline.cache.records import (
    LARGE,
    MANY,
    SMALL,
    Line,
    SegmentWriter,
    being_written,
    damaged,
    generation,
    scan,
)
from ita_pipeline.cache.store import KEY_FILE, Store
from ita_pipeline.core.files import sync_folder, write_atomically
from ita_pipeline.core.iteration import batched

BATCH = 500


@dataclass(frozen=True, slots=True)
class Compacted:
    """What bringing some of a key's segments together came to; `merge` says which in which."""

    folder: Path
    segments: int
    records: int
    dropped: int
    merge: Merge


def compact(store: Store, drop_damaged: bool = False) -> Iterator[Compacted]:
    """Bring the segments of each key together in as few as may be, without records outranked.

    Those of each generation stay apart, and one grows to about 64 MB. A segment that a process still writes to is
    left alone.

    Raises:
        CorruptCacheError: a line is damaged, and `drop_damaged` was not asked for; that key is left as it is.
    """
    for folder in sorted(file.parent for file in (store.root / "cache").glob(f"*/*/{KEY_FILE}")):
        done = compact_folder(store, folder, drop_damaged)
        if done is not None:
            yield done


def compact_folder(
    store: Store, folder: Path, drop_damaged: bool = False, also_damaged: Collection[str] = ()
) -> Compacted | None:
    """As `compact`, of one key. `also_damaged` are names of segments whose ends are missing.

    Raises:
        CorruptCacheError: a line is damaged, and `drop_damaged` was not asked for.
    """
    closed = sorted(path for path in folder.glob("*.jsonl") if not being_written(path))
    store.index.refresh(folder)
    living = store.index.living(folder)
    bad = {found.segment for found in store.index.damage(folder)}
    bad |= {path for path in closed if path.name in also_damaged}
    dying = [path for path in closed if path in bad or dead(*living.get(path.name, (0, 0)))]
    small = [path for path in closed if path not in dying and path.stat().st_size < LARGE // 2]
    ranks = [generation(path) for path in [*small, *dying]]
    chosen = [*dying, *(path for path in small if ranks.count(generation(path)) > 1)]
    return bring_together(store, folder, sorted(chosen), drop_damaged, also_damaged) if chosen else None


def dead(holding: int, lines: int) -> bool:
    return holding < lines


@contextmanager
def writing(store: Store, key: StageKey, anew: bool = False) -> Iterator[SegmentWriter]:
    """As `Store.writer`; when it is closed, many small segments of the key are brought together."""
    with store.writer(key, anew) as writer:
        yield writer
    with suppress(OSError):  # the next writer tries again
        tidy(store, store.folder(key))


def tidy(store: Store, folder: Path) -> Compacted | None:
    """Bring small segments together where many have come, so that their number stays bounded. Damaged ones stay."""
    by_rank: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError):
            if path.stat().st_size < SMALL:
                by_rank.setdefault(generation(path), []).append(path)
    many = [path for paths in by_rank.values() if len(paths) >= MANY for path in paths]
    if not many:
        return None
    with suppress(FileNotFoundError):  # somebody else is at it
        closed = [path for path in many if not being_written(path)]
        store.index.refresh(folder)
        bad = {found.segment for found in store.index.damage(folder)}
        return bring_together(store, folder, [path for path in closed if path not in bad])
    return None


def bring_together(
    store: Store,
    folder: Path,
    old: Sequence[Path],
    drop_damaged: bool = False,
    also_damaged: Collection[str] = (),
) -> Compacted:
    """Write what holds of these segments to new ones, and remove them.

    Raises:
        CorruptCacheError: a line is damaged, and `drop_damaged` was not asked for.
        FileNotFoundError: somebody else has removed one of them; they are as they were.
    """
    damage = [found for found in store.index.damage(folder) if found.segment in old]
    bad = {found.segment for found in damage} | {path for path in old if path.name in also_damaged}
    if damage and not drop_damaged:
        raise damaged(damage[0].segment, damage[0].line)
    made, chosen = Making(folder), set(old)
    kept = 0
    try:
        for path in old:
            with path.open("rb") as opened:
                for lines in batched(scan(opened), BATCH):
                    stay = [line for line in holding(store, folder, path, chosen, lines) if line.good]
                    made.append(generation(path), stay)
                    kept += len(stay)
        made.finish()
    except BaseException:
        made.abandon()
        raise
    whole, broken = [path.name for path in old if path not in bad], [path.name for path in old if path in bad]
    merge = Merge(frozenset(made.names), frozenset(whole), frozenset(broken))
    write_atomically(folder / merge.name, merge.to_json().decode())
    for path in sorted(old, key=generation):  # stopped half way, nothing that was replaced comes back
        path.unlink(missing_ok=True)
    sync_folder(folder)
    return Compacted(folder, len(old), kept, len(damage), merge)


def holding(store: Store, folder: Path, path: Path, old: set[Path], lines: Sequence[Line]) -> Iterator[Line]:
    """Those of a segment's lines that may not be left out."""
    best = {entry.image: entry for entry in store.index.entries(folder, [line.image for line in lines])}
    for line in lines:
        other = best.get(line.image)
        here = other is not None and other.segment == path and other.start == line.start
        if here or other is None or (other.segment not in old and not outranks(other, path, line)):
            yield line


def outranks(other: Entry, path: Path, line: Line) -> bool:
    """Whether another record of the image holds in place of a line, whatever becomes of their names."""
    ranks = generation(other.segment), generation(path)
    if ranks[0] != ranks[1] or not line.good:
        return ranks[0] > ranks[1]
    return other.state is State.VALUE and line.failure is not None


class Making:
    """Segments in the making, of each generation; none is one by its name before all of them are complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current: dict[int, tuple[Path, SegmentWriter]] = {}
        self.done: list[tuple[Path, Path]] = []

    def append(self, rank: int, lines: Sequence[Line]) -> None:
        if not lines:
            return
        if rank in self.current and self.current[rank][1].size >= LARGE:
            self.close(rank)
        if rank not in self.current:
            writer = SegmentWriter(self.folder, rank)
            final, writer.path = writer.path, writer.path.with_suffix(".making")
            self.current[rank] = final, writer
        self.current[rank][1].append_lines(b"".join(line.content + b"\n" for line in lines))

    def close(self, rank: int) -> None:
        final, writer = self.current.pop(rank)
        self.done.append((writer.path, final))
        writer.close()

    def finish(self) -> None:
        for rank in list(self.current):
            self.close(rank)
        for made, final in self.done:
            made.replace(final)
        if self.done:
            sync_folder(self.folder)

    @property
    def names(self) -> list[str]:
        return [final.name for _, final in self.done]

    def abandon(self) -> None:
        for rank in list(self.current):
            self.close(rank)
        for made, final in self.done:
            made.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
