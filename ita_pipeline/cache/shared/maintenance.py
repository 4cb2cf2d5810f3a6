"""Maintenance of a shared cache: what `inventory`, `cleanup` and `compaction` do for that of a workspace."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.cleanup import ABANDONED_AFTER, Removal, choose_keys
from ita_pipeline.cache.compaction import Compacted, compact_folder, merge_undamaged
from ita_pipeline.cache.inventory import KeyUsage, Verification, usage_order, verify_segment
from ita_pipeline.cache.keys import StageKey, explain_unreadable
from ita_pipeline.cache.records import (
    MAX_SEGMENT_BYTES,
    SMALL_SEGMENT_BYTES,
    damage_error,
    generation_order,
    parse_generation,
)
from ita_pipeline.cache.shared.parallel import run_parallel
from ita_pipeline.cache.shared.store import KeyFolder, SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, put_segment
from ita_pipeline.cache.store import KEY_FILE, Store, write_key
from ita_pipeline.cache.validate import find_first_damage
from stages.base import Stage

InstalledStages = Mapping[str, type[Stage[Any]]]

# Merges fetched segments in the folder of a store; the set has the names of those whose ends are missing.
_MergeFetched = Callable[[Store, Path, set[str]], Compacted | None]


def list_keys(shared: SharedCache) -> list[KeyUsage]:
    """List all keys of a shared cache by stage, the one used last first. Their records are not counted."""
    usages: list[KeyUsage] = []
    for folder in shared.list_folders():
        key, listing = shared.read_key(folder), shared.list_folder(folder)
        if key is not None:
            sizes = listing.segments.values()
            path = Path(folder.stage, folder.short)
            usages.append(KeyUsage(key, path, None, None, len(sizes), sum(sizes), listing.changed))
    return sorted(usages, key=usage_order)


def verify(shared: SharedCache, work: Path) -> Verification:
    """Verify every object. Objects are fetched to the folder `work`."""
    total = Verification()
    for folder in shared.list_folders():
        for name, size in sorted(shared.list_folder(folder).segments.items()):
            with tempfile.TemporaryDirectory(dir=work) as temporary, suppress(FileNotFoundError):  # merged since
                path = Path(temporary) / name
                shared.fetch(folder, name, path)
                total += verify_segment(path, shared.address(folder, name), size)
    return total


def plan_cleanup(shared: SharedCache, keep: int | None = None, max_bytes: int | None = None) -> Removal:
    """Plan what to remove, as `cleanup.plan_cleanup` does for a workspace."""
    leftovers: list[Path] = []
    for folder in shared.list_folders():
        listing = shared.list_folder(folder)
        if time.time() - listing.changed > ABANDONED_AFTER:
            leftovers += [Path(folder.stage, folder.short, name) for name in listing.others]
    return choose_keys(list_keys(shared), keep, max_bytes, leftovers)


def remove(shared: SharedCache, removal: Removal) -> Iterator[KeyUsage]:
    """Remove keys one by one, and yield those that were removed. A key that has changed since is left alone."""
    for path in removal.leftovers:
        stage, short, name = path.parts
        shared.remove(KeyFolder(stage, short), name)
    for usage in removal.removed:
        folder = KeyFolder.of(usage.key)
        if shared.list_folder(folder).changed <= usage.used:
            remove_key(shared, folder)
            yield usage


def remove_key(shared: SharedCache, folder: KeyFolder) -> None:
    """Remove a key. If this is interrupted, no replaced record comes back, and the rest can still be listed."""
    listing = shared.list_folder(folder)
    for name in [*sorted(listing.segments, key=generation_order), *sorted(listing.notes), KEY_FILE]:
        shared.remove(folder, name)
    shared.remove_folder(folder)


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
    listing = shared.list_folder(KeyFolder.of(key))
    sizes = {name: size for name, size in listing.segments.items() if size < SMALL_SEGMENT_BYTES}

    def merge(store: Store, path: Path, incomplete: set[str]) -> Compacted | None:
        complete = [segment for segment in sorted(path.glob("*.jsonl")) if segment.name not in incomplete]
        return merge_undamaged(store, path, complete)

    return _merge_objects(shared, key, sizes, work, merge)


def _merge_objects(
    shared: SharedCache, key: StageKey, sizes: Mapping[str, int], work: Path, merge: _MergeFetched
) -> Compacted | None:
    """Fetch segments, merge them here, put the results, and only then remove the old objects."""
    folder = KeyFolder.of(key)
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        store = Store(Path(temporary))
        path = store.folder(key)
        path.mkdir(parents=True)
        write_key(key, path / KEY_FILE)

        def fetch(name: str) -> bool:
            """Fetch a segment; whether its end is missing. One that is gone is left out."""
            try:
                shared.fetch(folder, name, path / name)
            except FileNotFoundError:
                (path / name).unlink(missing_ok=True)
                return False
            return find_first_damage(path / name, None, sizes[name]) == 0

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


@dataclass(frozen=True, slots=True)
class PulledKey:
    """The outcome of pulling a key, or in `left_out` why it was not pulled."""

    key: StageKey
    transfer: Transfer = field(default_factory=Transfer)
    left_out: str = ""


def pull_all(
    store: Store, shared: SharedCache, installed: InstalledStages, stages: Sequence[str] = ()
) -> Iterator[PulledKey]:
    """Fetch every key of a shared cache, or those of some stages, that the installed stages can read."""
    for folder in shared.list_folders():
        if stages and folder.stage not in stages:
            continue
        key = shared.read_key(folder)
        if key is None:
            continue
        why = explain_unreadable(key, installed)
        if why:
            yield PulledKey(key, left_out=why)
        else:
            yield PulledKey(key, pull(store, shared, key, installed[key.stage]))


@contextmanager
def open_mirror(
    shared: SharedCache, work: Path, installed: InstalledStages, stages: Sequence[str] = ()
) -> Generator[Store]:
    """Fetch the records of a shared cache to a temporary store.

    Raises:
        CorruptCacheError: an object is damaged.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as temporary:
        store = Store(Path(temporary))
        for pulled in pull_all(store, shared, installed, stages):
            for address, line in pulled.transfer.damaged:
                raise damage_error(f"{address}, line {line}")
        yield store
