"""Merging of the segments of a shared cache, as `cache.compaction` does in a workspace."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ita_pipeline.cache.compaction import Compacted, compact_folder, merge_undamaged
from ita_pipeline.cache.keys import StageKey, write_key
from ita_pipeline.cache.records import (
    MAX_SEGMENT_BYTES,
    SMALL_SEGMENT_BYTES,
    damage_error,
    generation_order,
    parse_generation,
)
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import put_segment
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import find_first_damage
from ita_pipeline.core.iteration import run_parallel

# Merges fetched segments in the folder of a store; the set has the names of those whose ends are missing.
_MergeFetched = Callable[[Store, Path, set[str]], Compacted | None]


def compact(shared: SharedCache, work: Path, drop_damaged: bool = False) -> Iterator[tuple[str, Compacted]]:
    """Merge the segments of each key, as `compaction.compact` does; yield each key's address and the outcome.

    Small segments are fetched for that, or all of a key where results were replaced.

    Raises:
        CorruptCacheError: a line is damaged and `drop_damaged` is false; that key is left as it is.
    """
    for folder in shared.list_folders():
        listing = shared.list_folder(folder)
        fetch_all = drop_damaged or any(parse_generation(name) > 1 for name in listing.segments)
        names = [name for name, size in listing.segments.items() if fetch_all or size < MAX_SEGMENT_BYTES // 2]
        key = shared.read_key(folder)
        if key is None or not (len(names) > 1 or (drop_damaged and names)):
            continue
        address = shared.address(folder)

        def merge(store: Store, path: Path, incomplete: set[str], address: str = address) -> Compacted | None:
            if incomplete and not drop_damaged:
                raise damage_error(f"{address}/{min(incomplete)}, line 0")
            return compact_folder(store, path, drop_damaged, incomplete)

        compacted = _merge_objects(shared, key, {name: listing.segments[name] for name in names}, work, merge)
        if compacted is not None:
            yield address, compacted


def merge_small_segments(shared: SharedCache, key: StageKey, work: Path) -> Compacted | None:
    """Merge the small segments of a key into one, so that their number stays bounded. Damaged ones stay."""
    listing = shared.list_folder(key.folder)
    sizes = {name: size for name, size in listing.segments.items() if size < SMALL_SEGMENT_BYTES}

    def merge(store: Store, path: Path, incomplete: set[str]) -> Compacted | None:
        complete = [segment for segment in sorted(path.glob("*.jsonl")) if segment.name not in incomplete]
        return merge_undamaged(store, path, complete)

    return _merge_objects(shared, key, sizes, work, merge)


def _merge_objects(
    shared: SharedCache, key: StageKey, sizes: Mapping[str, int], work: Path, merge: _MergeFetched
) -> Compacted | None:
    """Fetch segments, merge them here, put the results, and only then remove the old objects."""
    folder = key.folder
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        store = Store(Path(temporary))
        path = store.folder(key)
        write_key(key, path)

        def fetch(name: str) -> bool:
            """Fetch a segment; whether its end is missing. One that is gone is left out."""
            try:
                shared.fetch(folder, name, path / name)
            except FileNotFoundError:
                (path / name).unlink(missing_ok=True)
                return False
            return find_first_damage(path / name, sizes[name]) == 0

        incomplete = [name for name, is_cut in zip(sizes, run_parallel(fetch, list(sizes)), strict=True) if is_cut]
        compacted = merge(store, path, set(incomplete))
        if compacted is None:
            return None
        for name in compacted.merge.into:
            put_segment(shared, folder, path / name)
        shared.put(folder, compacted.merge.name, compacted.merge.to_json())
        for name in sorted(compacted.merge.parts | compacted.merge.damaged, key=generation_order):
            shared.remove(folder, name)
        return compacted
