"""Transfer of segments from and to a shared cache: each once, and none that is damaged."""

from __future__ import annotations

import io
import os
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ita_pipeline.cache import records
from ita_pipeline.cache.keys import StageKey, explain_unreadable, write_key
from ita_pipeline.cache.lineage import KnownSegments, Merge, find_equivalents, read_merges
from ita_pipeline.cache.records import host_name
from ita_pipeline.cache.shared.store import FolderListing, SharedCache
from ita_pipeline.cache.store import AnyStage, Store
from ita_pipeline.cache.validate import find_first_damage
from ita_pipeline.core.files import is_older_than, sync_to_disk, write_atomically
from ita_pipeline.core.iteration import run_parallel
from stages.base import Stage

# Objects that vanish while they are fetched were merged by another machine; then the folder is listed again.
MAX_ATTEMPTS = 5

# A segment of another host, in a folder that machines share, counts as closed after this many seconds.
CLOSED_AFTER = 3600.0

# When a key has a multiple of this many small objects, the machine that uploaded the last one merges them.
MAX_SMALL_OBJECTS = 128

InstalledStages = Mapping[str, type[Stage[Any]]]


@dataclass(frozen=True, slots=True)
class Transfer:
    """The number of transferred segments, their bytes, and damaged segments that were left out.

    A damaged segment is its address and a line, or 0 where its end is missing. `owed` counts local segments that
    the shared cache lacks; it `is_crowded` where new small objects have made them many.
    """

    segments: int = 0
    size: int = 0
    damaged: tuple[tuple[str, int], ...] = ()
    owed: int = 0
    is_crowded: bool = False

    def __add__(self, other: Transfer) -> Transfer:
        return Transfer(
            self.segments + other.segments,
            self.size + other.size,
            self.damaged + other.damaged,
            self.owed + other.owed,
            self.is_crowded or other.is_crowded,
        )


@dataclass(frozen=True, slots=True)
class RemoteState:
    """The listing of a folder in the shared cache, and all merges that are known there and here."""

    listing: FolderListing
    merges: tuple[Merge, ...]


def read_remote_state(store: Store, shared: SharedCache, key: StageKey) -> RemoteState:
    """List a key's folder in a shared cache, and read its merge notes that are not known here."""
    listing = shared.list_folder(key.folder)
    here = read_merges(store.folder(key))
    unknown = sorted(listing.notes - {merge.name for merge in here})
    others = run_parallel(partial(shared.read_merge, key.folder), unknown)
    return RemoteState(listing, (*here, *(merge for merge in others if merge is not None)))


def pull(store: Store, shared: SharedCache, key: StageKey, stage: AnyStage) -> Transfer:
    """Fetch the segments of a key whose records are not here.

    Each is checked, line by line, before it gets the name of a segment.

    Raises:
        Exception: the file system's library raised it.
    """
    folder, total = store.folder(key), Transfer()
    remote = read_remote_state(store, shared, key)
    for _ in range(MAX_ATTEMPTS):
        damaged = {address for address, _ in total.damaged}
        names = _find_missing_here(folder, remote)
        missing = [name for name in names if shared.address(key.folder, name) not in damaged]
        if missing:
            write_key(key, folder)
        fetch = partial(_fetch_segment, shared, key, folder, stage, remote.listing.segments)
        fetched = run_parallel(fetch, missing)
        total = sum((one for one in fetched if one is not None), total)
        if missing:
            sync_to_disk(folder)
        if None not in fetched:
            break
        remote = read_remote_state(store, shared, key)
    _keep_notes(folder, remote)
    return total + Transfer(owed=len(_find_missing_there(folder, remote)))


def push(store: Store, shared: SharedCache, key: StageKey, max_small_objects: int = MAX_SMALL_OBJECTS) -> Transfer:
    """Put the closed segments of a key whose records are not in the shared cache.

    Raises:
        Exception: the file system's library raised it.
    """
    folder = store.folder(key)
    remote = read_remote_state(store, shared, key)
    missing = _find_missing_there(folder, remote)
    if missing or remote.listing.segments:
        shared.put_key(key, remote.listing)
    if not missing:
        return Transfer()
    put = run_parallel(partial(put_segment, shared, key.folder), missing)
    names = {*remote.listing.segments, *(path.name for path in missing)}
    for merge in remote.merges:
        if merge.name not in remote.listing.notes and merge.into <= names and merge.parts & names:
            shared.put(key.folder, merge.name, merge.to_json())
    small = sum(size < records.SMALL_SEGMENT_BYTES for size in remote.listing.segments.values())
    new_small = sum(one.size < records.SMALL_SEGMENT_BYTES for one in put)
    is_crowded = (small + new_small) // max_small_objects > small // max_small_objects
    return sum(put, Transfer(is_crowded=is_crowded))


def put_segment(shared: SharedCache, folder: str, path: Path) -> Transfer:
    """Put the complete lines of a segment, unless it is damaged or was removed meanwhile."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Transfer()
    content = content[: content.rfind(b"\n") + 1]
    for line in records.read_lines(io.BytesIO(content)):
        if line.header is None:
            return Transfer(damaged=((str(path), line.number),))
    if not content:
        return Transfer()
    shared.put(folder, path.name, content)
    return Transfer(1, len(content))


def _fetch_segment(
    shared: SharedCache, key: StageKey, folder: Path, stage: AnyStage, sizes: dict[str, int], name: str
) -> Transfer | None:
    """Fetch a segment, unless it is damaged; return None where it is gone."""
    temporary = folder / f".{name}.{uuid.uuid4().hex[:8]}"
    try:
        shared.fetch(key.folder, name, temporary)
        line = find_first_damage(temporary, sizes[name], stage.value_type)
        if line is not None:
            return Transfer(damaged=((shared.address(key.folder, name), line),))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        long_ago = time.time() - 2 * CLOSED_AFTER  # so that it does not count as one that still grows
        os.utime(temporary, (long_ago, long_ago))
        temporary.replace(folder / name)
        return Transfer(1, sizes[name])
    except FileNotFoundError:
        return None
    finally:
        temporary.unlink(missing_ok=True)


def _find_missing_here(folder: Path, remote: RemoteState) -> list[str]:
    """Find the names to fetch, the newest generation first; of records that are there twice, one name is enough."""
    known = KnownSegments((path.name for path in folder.glob("*.jsonl")), remote.merges)
    missing: list[str] = []
    # The results of merges come first: with them, the merged segments are not needed.
    into = {name for merge in remote.merges for name in merge.into}
    for name in sorted(remote.listing.segments, key=lambda n: (n not in into, -records.parse_generation(n), n)):
        if name not in known.names:
            missing.append(name)
            known.add([name])
    return missing


def _find_missing_there(folder: Path, remote: RemoteState) -> list[Path]:
    """Find the segments to put, the newest generation first, so that no replaced record is there alone."""
    known = find_equivalents(remote.listing.segments, remote.merges)
    paths = [path for path in folder.glob("*.jsonl") if path.name not in known]
    closed = [path for path in paths if records.SEGMENT_NAME.fullmatch(path.name) and _is_closed(path)]
    return sorted(closed, key=records.generation_order, reverse=True)


def _is_closed(path: Path) -> bool:
    with suppress(FileNotFoundError):
        is_own = path.name.startswith(f"{host_name()}-")
        return not records.is_being_written(path) and (is_own or is_older_than(path, CLOSED_AFTER))
    return False


def _keep_notes(folder: Path, remote: RemoteState) -> None:
    """Write the merge notes of the shared cache that are about segments here."""
    names = {path.name for path in folder.glob("*.jsonl")}
    for merge in remote.merges:
        if names & (merge.into | merge.parts) and not (folder / merge.name).exists():
            write_atomically(folder / merge.name, merge.to_json().decode())


@dataclass(frozen=True, slots=True)
class KeyTransfer:
    """The outcome of transferring a key, or in `left_out` why it was not transferred."""

    key: StageKey
    transfer: Transfer
    left_out: str = ""


def pull_all(
    store: Store, shared: SharedCache, installed: InstalledStages, stages: Sequence[str] = ()
) -> Iterator[KeyTransfer]:
    """Fetch every key of a shared cache, or those of some stages, that the installed stages can read."""
    for folder in shared.list_folders():
        is_chosen = not stages or folder.split("/")[0] in stages
        key = shared.read_key(folder) if is_chosen else None
        if key is None:
            continue
        why = explain_unreadable(key, installed)
        transfer = Transfer() if why else pull(store, shared, key, installed[key.stage])
        yield KeyTransfer(key, transfer, why)


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
                raise records.damage_error(f"{address}, line {line}")
        yield store
