"""What of the cache may go: keys that nobody has used for long, and what crashes have left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.cache.inventory import Holding, holdings
from ita_pipeline.cache.lineage import NOTES
from ita_pipeline.cache.records import being_written, generation
from ita_pipeline.cache.store import KEY_FILE, Store

# A temporary file of a running process is younger than this, in seconds.
ABANDONED_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Removal:
    """Keys that go, those used longest ago first, and keys that stay. `leftovers` are files of crashed runs. In
    a shared cache, they and the folders are named from its root.
    """

    gone: tuple[Holding, ...]
    kept: tuple[Holding, ...]
    leftovers: tuple[Path, ...] = ()

    @property
    def freed(self) -> int:
        """Bytes that go, leftovers not counted."""
        return sum(holding.size for holding in self.gone)

    @property
    def left(self) -> int:
        """Bytes that stay."""
        return sum(holding.size for holding in self.kept)


def plan_garbage(store: Store, keep: int | None = None, most_bytes: int | None = None) -> Removal:
    """What of a store may go; see `plan_removal`."""
    chosen = plan_removal(holdings(store), keep, most_bytes)
    return Removal(chosen.gone, chosen.kept, leftovers(store))


def plan_removal(found: Sequence[Holding], keep: int | None = None, most_bytes: int | None = None) -> Removal:
    """Choose what goes: of each stage all but the `keep` keys used last, then those used longest ago until what
    stays is at most `most_bytes`. The key of a stage that was used last always stays.
    """
    newest_first = sorted(found, key=lambda holding: -holding.used)
    rank: dict[Path, int] = {}
    seen: dict[str, int] = {}
    for holding in newest_first:
        rank[holding.folder] = seen.get(holding.key.stage, 0)
        seen[holding.key.stage] = rank[holding.folder] + 1
    gone = [h for h in newest_first if keep is not None and rank[h.folder] >= keep]
    kept = [h for h in newest_first if h not in gone]
    for oldest in reversed(newest_first):
        if most_bytes is None or sum(holding.size for holding in kept) <= most_bytes:
            break
        if oldest in kept and rank[oldest.folder] > 0:
            kept.remove(oldest)
            gone.append(oldest)
    return Removal(tuple(sorted(gone, key=lambda holding: holding.used)), tuple(kept))


def leftovers(store: Store) -> tuple[Path, ...]:
    """Files that a killed process has left half made: they hold nothing that is read."""
    folders = [file.parent for file in (store.root / "cache").glob(f"*/*/{KEY_FILE}")]
    making = [path for folder in folders for path in folder.glob("*.making") if not being_written(path)]
    temporary = [path for folder in folders for path in folder.glob(".*") if abandoned(path)]
    return tuple(sorted([*making, *temporary]))


def abandoned(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER
    return False


def remove(removal: Removal) -> Iterator[Holding]:
    """Do it, key by key; a key that a process works under now is left alone. Yields what went."""
    for path in removal.leftovers:
        path.unlink(missing_ok=True)
    for holding in removal.gone:
        if remove_key(holding.folder):
            yield holding


def remove_key(folder: Path) -> bool:
    """Remove a key's segments and then its description; whether that could be done.

    Segments go in the order of their generations: stopped half way, nothing that was replaced comes back.
    """
    segments = sorted(folder.glob("*.jsonl"), key=lambda path: (generation(path), path.name))
    if any(being_written(path) for path in segments):
        return False
    for path in segments:
        path.unlink(missing_ok=True)
    if not any(folder.glob("*.jsonl")):
        for note in folder.glob(NOTES):
            note.unlink(missing_ok=True)
        (folder / KEY_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # somebody has just begun to work under this key
            folder.rmdir()
    return True
