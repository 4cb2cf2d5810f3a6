"""Merging of segments, so that they stay few and contain no records that later ones have replaced.

All current records of the chosen segments are written to new segments, safe on disk before an old one is removed,
and a note records the merge. Any number of processes may do this at once, and at worst leave a record twice. A
record is left out only where the chosen segments contain another of the same image that stays, or where another
generation, or a value in place of a failure, replaces it for good.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.lineage import Merge
from ita_pipeline.cache.records import (
    MAX_SMALL_SEGMENTS,
    SMALL_SEGMENT_BYTES,
    SegmentLine,
    SegmentWriter,
    damage_error,
    generation_order,
    is_being_written,
    parse_generation,
    read_lines,
)
from ita_pipeline.cache.store import Store
from ita_pipeline.core.files import sync_to_disk, write_atomically
from ita_pipeline.core.iteration import batched


@dataclass(frozen=True, slots=True)
class Compacted:
    """The outcome of merging segments of a key: counts of old segments, records kept and damaged lines dropped."""

    folder: Path
    segments: int
    records: int
    dropped: int
    merge: Merge


def compact(store: Store, drop_damaged: bool = False) -> Iterator[Compacted]:
    """Merge the segments of each key into as few as possible, without replaced records.

    Generations stay apart, and a new segment grows to about 64 MB. A segment that a process still writes to is left
    alone.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false; that key is left as it is.
    """
    for folder in store.list_folders():
        compacted = compact_folder(store, folder, drop_damaged)
        if compacted is not None:
            yield compacted


def compact_folder(
    store: Store, folder: Path, drop_damaged: bool = False, incomplete: Collection[str] = ()
) -> Compacted | None:
    """Merge the segments of one key, as `compact` does. `incomplete` are names of segments whose ends are missing.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false.
    """
    closed = sorted(path for path in folder.glob("*.jsonl") if not is_being_written(path))
    store.index.refresh(folder)
    counts = store.index.count_lines(folder)
    damaged = {line.segment for line in store.index.find_damage(folder)}
    chosen: list[Path] = []
    small: list[Path] = []
    for path in closed:
        current, lines = counts.get(path.name, (0, 0))
        if current < lines or path in damaged or path.name in incomplete:
            chosen.append(path)
        elif path.stat().st_size < store.max_segment_bytes // 2:
            small.append(path)
    generations = [parse_generation(path.name) for path in [*small, *chosen]]
    chosen += [path for path in small if generations.count(parse_generation(path.name)) > 1]
    return merge_segments(store, folder, sorted(chosen), drop_damaged, incomplete) if chosen else None


@contextmanager
def open_writer(store: Store, key: StageKey, replace: bool = False) -> Generator[SegmentWriter]:
    """Open a writer as `Store.open_writer` does, and merge the small segments of the key when it is closed."""
    with store.open_writer(key, replace) as writer:
        yield writer
    with suppress(OSError):  # the next writer tries again
        merge_small_segments(store, store.folder(key))


def merge_small_segments(store: Store, folder: Path) -> Compacted | None:
    """Merge small segments where a generation has many, so that their number stays bounded. Damaged ones stay."""
    by_generation: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError):
            if path.stat().st_size < SMALL_SEGMENT_BYTES:
                by_generation.setdefault(parse_generation(path.name), []).append(path)
    many = [path for paths in by_generation.values() if len(paths) >= MAX_SMALL_SEGMENTS for path in paths]
    if not many:
        return None
    with suppress(FileNotFoundError):  # another process is merging them
        closed = [path for path in many if not is_being_written(path)]
        return merge_undamaged(store, folder, closed)
    return None


def merge_undamaged(store: Store, folder: Path, paths: Sequence[Path]) -> Compacted | None:
    """Merge those of the segments that have no damaged line.

    Raises:
        FileNotFoundError: another process has removed a segment.
    """
    store.index.refresh(folder)
    damaged = {line.segment for line in store.index.find_damage(folder)}
    chosen = [path for path in paths if path not in damaged]
    return merge_segments(store, folder, chosen) if len(chosen) > 1 else None


def merge_segments(
    store: Store,
    folder: Path,
    old: Sequence[Path],
    drop_damaged: bool = False,
    incomplete: Collection[str] = (),
) -> Compacted:
    """Write the current records of segments to new segments, and remove the old ones.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false.
        FileNotFoundError: another process has removed a segment; the others are unchanged.
    """
    damage = [line for line in store.index.find_damage(folder) if line.segment in old]
    if damage and not drop_damaged:
        raise damage_error(f"{damage[0].segment}, line {damage[0].line}")
    replacement, kept = SegmentReplacement(folder, store.max_segment_bytes), 0
    try:
        for path in old:
            with path.open("rb") as segment:
                for lines in batched(read_lines(segment), 500):
                    current = [line for line in _find_current(store, path, old, lines) if line.is_intact]
                    replacement.append(parse_generation(path.name), current)
                    kept += len(current)
        replacement.finish()
    except BaseException:
        replacement.abandon()
        raise
    damaged = {path.name for path in old if path in {line.segment for line in damage} or path.name in incomplete}
    whole = frozenset(path.name for path in old if path.name not in damaged)
    merge = Merge(frozenset(replacement.names), whole, frozenset(damaged))
    write_atomically(folder / merge.name, merge.to_json().decode())
    for path in sorted(old, key=generation_order):  # if this is interrupted, no replaced record comes back
        path.unlink(missing_ok=True)
    sync_to_disk(folder)
    return Compacted(folder, len(old), kept, len(damage), merge)


def _find_current(
    store: Store, path: Path, old: Collection[Path], lines: Sequence[SegmentLine]
) -> Iterator[SegmentLine]:
    """Find the lines of a segment that may not be left out."""
    images = [line.image for line in lines]
    entries = {entry.image: entry for entry in store.index.find_entries(path.parent, images)}
    for line in lines:
        entry = entries.get(line.image)
        if entry is None or (entry.segment, entry.start) == (path, line.start):
            yield line
            continue
        if entry.segment not in old and not _is_replaced(line, path, entry):
            yield line


def _is_replaced(line: SegmentLine, path: Path, entry: IndexEntry) -> bool:
    """Whether another record of the image counts in place of a line, whatever their segments will be called."""
    other, own = parse_generation(entry.segment.name), parse_generation(path.name)
    if other != own or not line.is_intact:
        return other > own
    return entry.state is State.VALUE and line.failure is not None


class _UnfinishedWriter(SegmentWriter):
    suffix = ".making"


class SegmentReplacement:
    """New segments of each generation. They get their final names only when all of them are complete."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.names: list[str] = []
        self._folder, self._max_bytes = folder, max_bytes
        self._writers: dict[int, SegmentWriter] = {}
        self._unfinished: list[Path] = []

    def append(self, generation: int, lines: Sequence[SegmentLine]) -> None:
        """Append lines to the segment of a generation."""
        if generation not in self._writers:
            on_close = self._unfinished.append
            writer = _UnfinishedWriter(self._folder, generation, on_close, max_bytes=self._max_bytes)
            self._writers[generation] = writer
        self._writers[generation].append_lines(b"".join(line.content + b"\n" for line in lines))

    def finish(self) -> None:
        """Give all segments their names."""
        self._close()
        for path in self._unfinished:
            self.names.append(path.with_suffix(".jsonl").name)
            path.replace(self._folder / self.names[-1])
        if self.names:
            sync_to_disk(self._folder)

    def abandon(self) -> None:
        """Remove all new segments."""
        self._close()
        for path in [*self._unfinished, *(self._folder / name for name in self.names)]:
            path.unlink(missing_ok=True)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
