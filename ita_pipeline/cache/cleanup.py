"""Removal of keys that have not been used for long, and of files that crashes have left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.inventory import KeyUsage, list_keys
from ita_pipeline.cache.lineage import NOTE_PATTERN
from ita_pipeline.cache.records import generation_order, is_being_written
from ita_pipeline.cache.store import KEY_FILE, Store

# A temporary file of a running process is younger than this, in seconds.
ABANDONED_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Removal:
    """Keys to remove, those used longest ago first, and keys to keep. `leftovers` are files of crashed runs.

    In a shared cache, these and the folders are relative to its root.
    """

    removed: tuple[KeyUsage, ...]
    kept: tuple[KeyUsage, ...]
    leftovers: tuple[Path, ...] = ()

    @property
    def removed_bytes(self) -> int:
        """Bytes under the keys to remove."""
        return sum(usage.size for usage in self.removed)

    @property
    def kept_bytes(self) -> int:
        """Bytes under the keys to keep."""
        return sum(usage.size for usage in self.kept)


def plan_cleanup(store: Store, keep: int | None = None, max_bytes: int | None = None) -> Removal:
    """Plan what to remove from a store; see `choose_keys`."""
    return choose_keys(list_keys(store), keep, max_bytes, find_leftovers(store))


def choose_keys(
    usages: Sequence[KeyUsage], keep: int | None, max_bytes: int | None, leftovers: Sequence[Path] = ()
) -> Removal:
    """Choose all but the `keep` keys of each stage used last, then those used longest ago until `max_bytes` is met.

    The key of a stage that was used last is always kept.
    """
    newest_first = sorted(usages, key=lambda usage: -usage.used)
    rank: dict[Path, int] = {}
    for usage in newest_first:
        rank[usage.folder] = sum(other.key.stage == usage.key.stage for other in newest_first[: len(rank)])
    removed = [usage for usage in newest_first if keep is not None and rank[usage.folder] >= keep]
    kept = [usage for usage in newest_first if usage not in removed]
    for oldest in reversed(newest_first):
        if max_bytes is None or sum(usage.size for usage in kept) <= max_bytes:
            break
        if oldest in kept and rank[oldest.folder] > 0:
            kept.remove(oldest)
            removed.append(oldest)
    return Removal(tuple(sorted(removed, key=lambda usage: usage.used)), tuple(kept), tuple(leftovers))


def find_leftovers(store: Store) -> tuple[Path, ...]:
    """Find the unfinished files of killed processes, which nothing reads."""
    leftovers: list[Path] = []
    for file in store.key_files():
        leftovers += [path for path in file.parent.glob("*.making") if not is_being_written(path)]
        leftovers += [path for path in file.parent.glob(".*") if _is_abandoned(path)]
    return tuple(sorted(leftovers))


def _is_abandoned(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER
    return False


def remove(removal: Removal) -> Iterator[KeyUsage]:
    """Remove keys one by one, and yield those that were removed. Keys that a process writes to are left alone."""
    for path in removal.leftovers:
        path.unlink(missing_ok=True)
    for usage in removal.removed:
        if remove_key(usage.folder):
            yield usage


def remove_key(folder: Path) -> bool:
    """Remove a key's segments and then its description, unless a process writes to it; return whether it did."""
    segments = sorted(folder.glob("*.jsonl"), key=generation_order)
    if any(is_being_written(path) for path in segments):
        return False
    for path in segments:
        path.unlink(missing_ok=True)
    if not any(folder.glob("*.jsonl")):
        for note in folder.glob(NOTE_PATTERN):
            note.unlink(missing_ok=True)
        (folder / KEY_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # another process has just started to write under this key
            folder.rmdir()
    return True
