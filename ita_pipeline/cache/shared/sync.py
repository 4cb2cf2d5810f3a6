"""Transfer of segments from and to a shared cache: each once, and none that is damaged."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.lineage import KnownSegments, Merge, find_equivalents, read_merges
from ita_pipeline.cache.records import (
    SEGMENT_NAME,
    SMALL_SEGMENT_BYTES,
    generation_order,
    has_valid_checksum,
    host_name,
    is_being_written,
    parse_generation,
)
from ita_pipeline.cache.shared.parallel import run_parallel
from ita_pipeline.cache.shared.store import FolderListing, KeyFolder, SharedCache
from ita_pipeline.cache.store import KEY_FILE, Store, write_key
from ita_pipeline.cache.validate import find_first_damage
from ita_pipeline.core.files import is_older_than, sync_to_disk, write_atomically
from stages.base import Stage

# Objects that vanish while they are fetched were merged by another machine; then the folder is listed again.
MAX_ATTEMPTS = 5

# A segment of another host, in a folder that machines share, counts as closed after this many seconds.
CLOSED_AFTER = 3600.0

# When a key has a multiple of this many small objects, the machine that uploaded the last one merges them.
MAX_SMALL_OBJECTS = 128

AnyStage = type[Stage[Any]] | Stage[Any]


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
class SharingOutcome:
    """How a run ended with its shared cache: why not everything was put, and the damaged objects in it."""

    trouble: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything was put and nothing is damaged."""
        return not self.trouble and not self.damaged


@dataclass(frozen=True, slots=True)
class RemoteState:
    """The listing of a folder in the shared cache, and all merges that are known there and here."""

    listing: FolderListing
    merges: tuple[Merge, ...]


def read_remote_state(store: Store, shared: SharedCache, folder: KeyFolder) -> RemoteState:
    """List a key's folder in a shared cache, and read its merge notes that are not known here."""
    listing = shared.list_folder(folder)
    here = read_merges(store.root / "cache" / folder.stage / folder.short)
    unknown = sorted(listing.notes - {merge.name for merge in here})
    others = run_parallel(partial(shared.read_merge, folder), unknown)
    return RemoteState(listing, (*here, *(merge for merge in others if merge is not None)))


def pull(store: Store, shared: SharedCache, key: StageKey, stage: AnyStage) -> Transfer:
    """Fetch the segments of a key whose records are not here.

    Each is checked, line by line, before it gets the name of a segment.

    Raises:
        Exception: the file system's library raised it.
    """
    remote_folder, folder, total = KeyFolder.of(key), store.folder(key), Transfer()
    remote = read_remote_state(store, shared, remote_folder)
    for _ in range(MAX_ATTEMPTS):
        damaged = {address for address, _ in total.damaged}
        names = _find_missing_here(folder, remote)
        missing = [name for name in names if shared.address(remote_folder, name) not in damaged]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            write_key(key, folder / KEY_FILE)
        fetched = run_parallel(partial(_fetch_segment, shared, folder, stage, remote.listing.segments), missing)
        total = sum((one for one in fetched if one is not None), total)
        if missing:
            sync_to_disk(folder)
        if None not in fetched:
            break
        remote = read_remote_state(store, shared, remote_folder)
    _keep_notes(folder, remote)
    return total + Transfer(owed=len(_find_missing_there(folder, remote)))


def push(store: Store, shared: SharedCache, key: StageKey, max_small_objects: int = MAX_SMALL_OBJECTS) -> Transfer:
    """Put the closed segments of a key whose records are not in the shared cache.

    Raises:
        Exception: the file system's library raised it.
    """
    remote_folder, folder = KeyFolder.of(key), store.folder(key)
    remote = read_remote_state(store, shared, remote_folder)
    missing = _find_missing_there(folder, remote)
    if missing or remote.listing.segments:
        shared.put_key(key, remote.listing)
    if not missing:
        return Transfer()
    put = run_parallel(partial(put_segment, shared, remote_folder), missing)
    names = {*remote.listing.segments, *(path.name for path in missing)}
    for merge in remote.merges:
        if merge.name not in remote.listing.notes and merge.into <= names and merge.parts & names:
            shared.put(remote_folder, merge.name, merge.to_json())
    small = sum(size < SMALL_SEGMENT_BYTES for size in remote.listing.segments.values())
    new_small = sum(one.size < SMALL_SEGMENT_BYTES for one in put)
    is_crowded = (small + new_small) // max_small_objects > small // max_small_objects
    return sum(put, Transfer(is_crowded=is_crowded))


def put_segment(shared: SharedCache, folder: KeyFolder, path: Path) -> Transfer:
    """Put the complete lines of a segment, unless it is damaged or was removed meanwhile."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Transfer()
    content = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        if not has_valid_checksum(line):
            return Transfer(damaged=((str(path), number),))
    if not content:
        return Transfer()
    shared.put(folder, path.name, content)
    return Transfer(1, len(content))


def _fetch_segment(
    shared: SharedCache, folder: Path, stage: AnyStage, sizes: dict[str, int], name: str
) -> Transfer | None:
    """Fetch a segment, unless it is damaged; return None where it is gone."""
    remote_folder = KeyFolder(folder.parent.name, folder.name)
    descriptor, temporary_name = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    os.close(descriptor)
    temporary = Path(temporary_name)
    try:
        shared.fetch(remote_folder, name, temporary)
        line = find_first_damage(temporary, stage.value_type, sizes[name])
        if line is not None:
            return Transfer(damaged=((shared.address(remote_folder, name), line),))
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
    for name in sorted(remote.listing.segments, key=lambda n: (n not in into, -parse_generation(n), n)):
        if name not in known.names:
            missing.append(name)
            known.add([name])
    return missing


def _find_missing_there(folder: Path, remote: RemoteState) -> list[Path]:
    """Find the segments to put, the newest generation first, so that no replaced record is there alone."""
    known = find_equivalents(remote.listing.segments, remote.merges)
    paths = [path for path in folder.glob("*.jsonl") if path.name not in known]
    closed = [path for path in paths if SEGMENT_NAME.fullmatch(path.name) and _is_closed(path)]
    return sorted(closed, key=generation_order, reverse=True)


def _is_closed(path: Path) -> bool:
    with suppress(FileNotFoundError):
        if is_being_written(path):
            return False
        return path.name.startswith(f"{host_name()}-") or is_older_than(path, CLOSED_AFTER)
    return False


def _keep_notes(folder: Path, remote: RemoteState) -> None:
    """Write the merge notes of the shared cache that are about segments here."""
    names = {path.name for path in folder.glob("*.jsonl")}
    for merge in remote.merges:
        if names & (merge.into | merge.parts) and not (folder / merge.name).exists():
            write_atomically(folder / merge.name, merge.to_json().decode())
