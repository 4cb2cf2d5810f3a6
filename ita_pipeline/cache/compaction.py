"""Merging of segments, so that they stay few and contain no records that later ones have replaced.

All current records of the chosen segments are written to new segments, safe on disk before an old one is removed,
and a note records the merge. Any number of processes may do this at once, and at worst leave a record twice. A
record is left out only where the chosen segments contain another of the same image that stays, or where another
generation, or a value in place of a failure, replaces it for good.

Segments of a shared cache are fetched to a temporary store and merged there.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache import records
from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import IndexEntry
from ita_pipeline.cache.keys import StageKey, write_key
from ita_pipeline.cache.lineage import Merge
from ita_pipeline.cache.records import Header, SegmentLine, SegmentWriter
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import put_segment
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import find_first_damage
from ita_pipeline.core.files import sync_to_disk, write_atomically
from ita_pipeline.core.iteration import run_parallel
from stages.batching import batched


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
    closed = sorted(path for path in folder.glob("*.jsonl") if not records.is_being_written(path))
    store.index.refresh(folder)
    counts = store.index.count_lines(folder)
    chosen: list[Path] = []
    small: list[Path] = []
    for path in closed:
        current, lines = counts.get(path.name, (0, 0))
        if current < lines or path.name in incomplete:  # a line was replaced or is damaged
            chosen.append(path)
        elif path.stat().st_size < store.max_segment_bytes // 2:
            small.append(path)
    generations = [records.parse_generation(path.name) for path in [*small, *chosen]]
    chosen += [path for path in small if generations.count(records.parse_generation(path.name)) > 1]
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
    with suppress(FileNotFoundError):  # another process is merging them
        paths = sorted(folder.glob("*.jsonl"))
        small = [path for path in paths if path.stat().st_size < records.SMALL_SEGMENT_BYTES]
        counts = Counter(records.parse_generation(path.name) for path in small)
        many = [path for path in small if counts[records.parse_generation(path.name)] >= records.MAX_SMALL_SEGMENTS]
        closed = [path for path in many if not records.is_being_written(path)]
        return merge_undamaged(store, folder, closed) if closed else None
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
    store: Store, folder: Path, old: Sequence[Path], drop_damaged: bool = False, incomplete: Collection[str] = ()
) -> Compacted:
    """Write the current records of segments to new segments, and remove the old ones.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false.
        FileNotFoundError: another process has removed a segment; the others are unchanged.
    """
    damage = [line for line in store.index.find_damage(folder) if line.segment in old]
    if damage and not drop_damaged:
        raise records.damage_error(f"{damage[0].segment}, line {damage[0].line}")
    into, count = _write_segments(folder, _iterate_kept(store, old), store.max_segment_bytes)
    names = {path.name for path in old}
    damaged = {Path(line.segment).name for line in damage} | names.intersection(incomplete)
    merge = Merge(frozenset(into), frozenset(names - damaged), frozenset(damaged))
    write_atomically(folder / merge.name, merge.to_json().decode())
    for path in sorted(old, key=records.generation_order):  # if this is interrupted, no replaced record comes back
        path.unlink(missing_ok=True)
    sync_to_disk(folder)
    return Compacted(folder, len(old), count, len(damage), merge)


def _iterate_kept(store: Store, old: Collection[Path]) -> Iterator[tuple[int, list[SegmentLine]]]:
    """Iterate over the lines of segments that may not be left out, in batches, each with its generation."""
    for path in old:
        with path.open("rb") as segment:
            parsed = ((line, header) for line in records.read_lines(segment) if (header := line.header))
            for lines in batched(parsed, 500):
                entries = store.index.find_entries(path.parent, [header.image for _, header in lines])
                current = {entry.image: entry for entry in entries}
                kept = [
                    line for line, head in lines if not _is_replaced(line, head, path, current.get(head.image), old)
                ]
                yield records.parse_generation(path.name), kept


def _is_replaced(
    line: SegmentLine, header: Header, path: Path, entry: IndexEntry | None, old: Collection[Path]
) -> bool:
    """Whether another record of the image counts in place of a line, whatever their segments will be called."""
    if entry is None or (entry.segment, entry.start) == (path, line.start):
        return False
    if entry.segment in old:
        return True
    other, own = records.parse_generation(entry.segment.name), records.parse_generation(path.name)
    if other != own:
        return other > own
    return entry.state is State.VALUE and header.failure is not None


def _write_segments(
    folder: Path, batches: Iterable[tuple[int, Sequence[SegmentLine]]], max_bytes: int
) -> tuple[list[str], int]:
    """Write lines to new segments of their generations; return the names of these and the number of lines.

    The segments get their final names only when all of them are complete.
    """
    writers: dict[int, SegmentWriter] = {}
    unfinished: list[Path] = []
    names: list[str] = []
    count = 0
    try:
        for generation, lines in batches:
            if generation not in writers:
                on_close = unfinished.append
                writer = SegmentWriter(folder, generation, on_close, max_bytes=max_bytes, suffix=".making")
                writers[generation] = writer
            writers[generation].append_lines(b"".join(line.content + b"\n" for line in lines))
            count += len(lines)
        for writer in writers.values():
            writer.close()
        for path in unfinished:
            names.append(path.with_suffix(".jsonl").name)
            path.replace(folder / names[-1])
        if names:
            sync_to_disk(folder)
    except BaseException:
        for writer in writers.values():
            writer.close()
        for path in [*unfinished, *(folder / name for name in names)]:
            path.unlink(missing_ok=True)
        raise
    return names, count


def compact_shared(shared: SharedCache, work: Path, drop_damaged: bool = False) -> Iterator[tuple[str, Compacted]]:
    """Merge the segments of each key in a shared cache, as `compact` does; yield its address and the outcome.

    Small segments are fetched to the folder `work` for that, or all of a key where results were replaced.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false; that key is left as it is.
    """
    for folder in shared.list_folders():
        sizes = shared.list_folder(folder).segments
        if not drop_damaged and all(records.parse_generation(name) == 1 for name in sizes):
            sizes = {name: size for name, size in sizes.items() if size < records.MAX_SEGMENT_BYTES // 2}
        key, address = shared.read_key(folder), shared.address(folder)
        if key is None or len(sizes) < (1 if drop_damaged else 2):
            continue
        with _open_copy(shared, key, sizes, work) as (store, incomplete):
            if incomplete and not drop_damaged:
                raise records.damage_error(f"{address}/{min(incomplete)}, line 0")
            compacted = compact_folder(store, store.folder(key), drop_damaged, incomplete)
            if compacted is not None:
                _replace_objects(shared, key, store, compacted.merge)
                yield address, compacted


def merge_small_objects(shared: SharedCache, key: StageKey, work: Path) -> Compacted | None:
    """Merge the small segments of a shared key into one, so that their number stays bounded. Damaged ones stay."""
    listing = shared.list_folder(key.folder)
    sizes = {name: size for name, size in listing.segments.items() if size < records.SMALL_SEGMENT_BYTES}
    with _open_copy(shared, key, sizes, work) as (store, incomplete):
        folder = store.folder(key)
        complete = [path for path in sorted(folder.glob("*.jsonl")) if path.name not in incomplete]
        compacted = merge_undamaged(store, folder, complete)
        if compacted is not None:
            _replace_objects(shared, key, store, compacted.merge)
        return compacted


@contextmanager
def _open_copy(
    shared: SharedCache, key: StageKey, sizes: Mapping[str, int], work: Path
) -> Generator[tuple[Store, set[str]]]:
    """Fetch segments to a temporary store. Yield it and the names of segments whose ends are missing."""
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        store = Store(Path(temporary))
        folder = store.folder(key)
        write_key(key, folder)

        def fetch(name: str) -> bool:
            """Fetch a segment; whether its end is missing. One that is gone is left out."""
            try:
                shared.fetch(key.folder, name, folder / name)
            except FileNotFoundError:
                (folder / name).unlink(missing_ok=True)
                return False
            return find_first_damage(folder / name, sizes[name]) == 0

        is_incomplete = run_parallel(fetch, list(sizes))
        yield store, set(itertools.compress(sizes, is_incomplete))


def _replace_objects(shared: SharedCache, key: StageKey, store: Store, merge: Merge) -> None:
    """Put the results of a merge, and only then remove the objects that they replace."""
    for name in merge.into:
        put_segment(shared, key.folder, store.folder(key) / name)
    shared.put(key.folder, merge.name, merge.to_json())
    for name in sorted(merge.parts | merge.damaged, key=records.generation_order):
        shared.remove(key.folder, name)
