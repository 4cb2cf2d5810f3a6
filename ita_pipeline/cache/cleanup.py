"""Removal of keys that have not been used for long, and of files that crashes have left behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.store import KeyUsage, Store


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


def plan_cleanup(cache: Store | SharedCache, keep: int | None = None, max_bytes: int | None = None) -> Removal:
    """Plan what to remove from a cache; see `choose_keys`."""
    return choose_keys(cache.list_keys(), keep, max_bytes, cache.find_leftovers())


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


def remove(cache: Store | SharedCache, removal: Removal) -> Iterator[KeyUsage]:
    """Remove keys one by one, and yield those that were removed. Keys in use are left alone."""
    for path in removal.leftovers:
        cache.remove_leftover(path)
    for usage in removal.removed:
        if cache.remove_key(usage):
            yield usage
