"""The store: the records of every stage and image, with one folder of segments per stage key."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.cache import records
from ita_pipeline.cache.database import State
from ita_pipeline.cache.index import Index, IndexEntry
from ita_pipeline.cache.indexing import retry_after_merge
from ita_pipeline.cache.keys import KEY_FILE, SHORT_KEY_LENGTH, StageKey, read_key, write_key
from ita_pipeline.cache.lineage import NOTE_PATTERN
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.cache.records import Record, SegmentWriter
from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.files import SETTLED_SECONDS, is_older_than
from stages.base import Failure, Stage

# Segments that a reader has open at the same time.
MAX_OPEN_SEGMENTS = 128

AnyStage = type[Stage[Any]] | Stage[Any]

# A temporary file of a running process is younger than this, in seconds.
ABANDONED_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The records under a key, its segments, their bytes, and when it was last used, in seconds since 1970.

    In a shared cache, records could be counted only by reading all of them, so these numbers are None.
    """

    key: StageKey
    folder: Path
    values: int | None
    failures: int | None
    segments: int
    size: int
    used: float

    def order(self) -> tuple[str, float]:
        """Sort key: by stage, the key used last first."""
        return self.key.stage, -self.used


class RemoteCache(Protocol):
    """A cache elsewhere that a store fetches from, and that takes what is written."""

    max_segment_age: float
    """Seconds after which a segment is closed, so that others see its records."""

    def fetch(self, store: Store, stage: Stage[Any], key: StageKey) -> None:
        """Fetch the segments of a key that the store lacks."""

    def on_segment_closed(self, key: StageKey, segment: Path) -> None:
        """Take a segment to which nothing more is appended."""


class Store:
    """Reads and writes `.ita/` of a workspace. Any number of processes may do so at once: none shares a file.

    Within a process, only one thread at a time may use a store.
    """

    def __init__(
        self, root: Path, remote: RemoteCache | None = None, settled_seconds: float = SETTLED_SECONDS
    ) -> None:
        self.root = root
        self.remote = remote
        self.index = Index(root, settled_seconds)
        self.manifest = Manifest(self.index)
        self.max_segment_bytes = records.MAX_SEGMENT_BYTES

    def folder(self, key: StageKey) -> Path:
        """The folder of a key."""
        return self.root / "cache" / key.folder

    def list_folders(self) -> list[Path]:
        """The folders of all keys, in order."""
        return [file.parent for file in sorted((self.root / "cache").glob(f"*/*/{KEY_FILE}"))]

    def list_segments(self) -> Iterator[tuple[Path, Path, None]]:
        """List all segments for `verify_segments`: each one's file, which is its address too, and no size."""
        return ((path, path, None) for path in sorted((self.root / "cache").glob("*/*/*.jsonl")))

    def list_keys(self) -> list[KeyUsage]:
        """List all keys by stage, the one used last first."""
        usages: list[KeyUsage] = []
        self.index.check()
        for folder in self.list_folders():
            key = read_key(folder / KEY_FILE)
            if key is not None:
                self.index.refresh(folder)
                summary = self.index.summarize(folder)
                sizes = [path.stat().st_size for path in folder.glob("*.jsonl")]
                used = (folder / KEY_FILE).stat().st_mtime
                usages.append(KeyUsage(key, folder, summary.values, summary.failures, len(sizes), sum(sizes), used))
        return sorted(usages, key=KeyUsage.order)

    @retry_after_merge
    def results(self, stage: Stage[Any], key: StageKey, images: Sequence[str] | None = None) -> dict[str, Record]:
        """Read the records of these images under a key, or all of them. Images without a record are left out.

        Raises:
            CorruptCacheError: a record was damaged after it had been written.
        """
        folder = self.folder(key)
        self.index.refresh(folder)
        if images is None:
            self.index.check()
        found = self._read(stage, folder, lambda: self.index.find_entries(folder, images))
        return {record.image: record for record in found}

    def iterate_results(self, stage: AnyStage, folder: Path) -> Iterator[Record]:
        """Read all records of a key by image, a part at a time.

        Raises:
            CorruptCacheError: a record was damaged after it had been written.
        """
        self.index.refresh(folder)
        self.index.check()
        for line in self.index.find_damage(folder):
            raise records.damage_error(f"{line.segment}, line {line.line}")
        last = ""
        while part := self._read(stage, folder, partial(self.index.find_next_entries, folder, last)):
            yield from part
            last = part[-1].image

    def _read(self, stage: AnyStage, folder: Path, find: Callable[[], Iterable[IndexEntry]]) -> list[Record]:
        """Read the records that the index finds; where it leads to something else, it is built again."""

        def read() -> list[Record]:
            try:
                with RecordReader() as reader:
                    return [reader.read(entry, stage) for entry in find()]
            except FileNotFoundError:
                self.index.refresh(folder)
                if all(entry.segment.exists() for entry in find()):  # another process has merged segments
                    raise
                raise sqlite3.DatabaseError("it leads to a segment that is gone") from None

        return self.index.attempt(read)

    def fetch(self, stage: Stage[Any], key: StageKey) -> None:
        """Fetch the segments that a shared cache has under a key, where one is set.

        Raises:
            UserError: the shared cache is not there, or may not be read.
        """
        if self.remote is not None:
            self.remote.fetch(self, stage, key)

    def other_keys(self, key: StageKey) -> list[StageKey]:
        """Other keys under which the same stage has run, the one used last first."""
        files = [file for file in self.folder(key).parent.glob(f"*/{KEY_FILE}") if file.parent.name != key.short]
        keys = [read_key(file) for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)]
        return [other for other in keys if other is not None]

    def find_key(self, stage: str, hexdigest: str) -> StageKey | None:
        """Find a key with its components by its digest, where it is still described."""
        key = read_key(self.root / "cache" / stage / hexdigest[:SHORT_KEY_LENGTH] / KEY_FILE)
        return key if key is not None and key.hexdigest == hexdigest else None

    @contextmanager
    def open_writer(self, key: StageKey, replace: bool = False) -> Generator[SegmentWriter]:
        """Open a new segment under a key; with `replace`, one whose records replace all that are there.

        Without it, the segment contains first results: of two processes that process the same image at once, the
        same record counts whichever comes last, a value before a failure.
        """
        folder = self.folder(key)
        write_key(key, folder)
        self.mark_used(key)
        generations = [records.parse_generation(path.name) for path in folder.glob("*.jsonl")]
        generation = max(generations, default=0) + 1 if replace else 1
        remote = self.remote
        on_close = None if remote is None else partial(remote.on_segment_closed, key)
        max_age = None if remote is None else remote.max_segment_age
        with closing(SegmentWriter(folder, generation, on_close, max_age, self.max_segment_bytes)) as writer:
            yield writer

    def mark_used(self, key: StageKey) -> None:
        """Record that a key is in use now: cleanup and the search for the nearest older key go by that time."""
        with suppress(OSError):
            os.utime(self.folder(key) / KEY_FILE)

    def find_leftovers(self) -> list[Path]:
        """Find the unfinished files of killed processes, which nothing reads."""
        leftovers: list[Path] = []
        for folder in self.list_folders():
            leftovers += [path for path in folder.glob("*.making") if not records.is_being_written(path)]
            leftovers += [path for path in folder.glob(".*") if _is_abandoned(path)]
        return sorted(leftovers)

    def remove_leftover(self, path: Path) -> None:
        """Remove a file that `find_leftovers` found."""
        path.unlink(missing_ok=True)

    def remove_key(self, usage: KeyUsage) -> bool:
        """Remove a key's segments, then its description; return False where a process still writes to it."""
        folder = usage.folder
        segments = sorted(folder.glob("*.jsonl"), key=records.generation_order)
        if any(records.is_being_written(path) for path in segments):
            return False
        for path in segments:
            path.unlink(missing_ok=True)
        if not any(folder.glob("*.jsonl")):
            for path in [*folder.glob(NOTE_PATTERN), folder / KEY_FILE]:
                path.unlink(missing_ok=True)
            with suppress(OSError):  # another process has just started to write under this key
                folder.rmdir()
        return True


def _is_abandoned(path: Path) -> bool:
    with suppress(OSError):
        return is_older_than(path, ABANDONED_AFTER)
    return False


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder that contains the cache, the data and the runs."""

    root: Path = Path()

    @property
    def store(self) -> Store:
        """The store of its cache, newly opened."""
        return Store(self.root / ".ita")

    @property
    def runs(self) -> Path:
        """The folder of its runs."""
        return self.root / "runs"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.root / "data"


class RecordReader:
    """Reads records at the places in the index, and checks each."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def read(self, entry: IndexEntry, stage: AnyStage) -> Record:
        """Read a record.

        Raises:
            CorruptCacheError: it is not as it was written.
            sqlite3.DatabaseError: the index does not lead to this record.
        """
        line = os.pread(self._open(entry.segment), entry.length, entry.start)
        try:
            record = records.decode(line, stage.value_type)
        except ValueError as error:
            raise _find_fault(entry) from error
        failure = record.result.kind if isinstance(record.result, Failure) else None
        if (record.image, State.of(failure)) != (entry.image, entry.state):
            raise _find_fault(entry)
        return record

    def read_line(self, entry: IndexEntry) -> bytes:
        """Read the line of a record.

        Raises:
            CorruptCacheError: it is not as it was written.
            sqlite3.DatabaseError: the index does not lead to a record.
        """
        line = os.pread(self._open(entry.segment), entry.length, entry.start)
        if not records.has_valid_checksum(line):
            raise _find_fault(entry)
        return line

    def _open(self, segment: Path) -> int:
        descriptor = self._descriptors.get(segment)
        if descriptor is None:
            if len(self._descriptors) >= MAX_OPEN_SEGMENTS:
                os.close(self._descriptors.pop(next(iter(self._descriptors))))
            descriptor = self._descriptors[segment] = os.open(segment, os.O_RDONLY)
        return descriptor


def _find_fault(entry: IndexEntry) -> CorruptCacheError | sqlite3.DatabaseError:
    """The error for a record that is not what the index says: damage to its segment, or else to the index."""
    is_found = False
    with entry.segment.open("rb") as segment:
        for line in records.read_lines(segment):
            header = line.header
            if header is None:
                return records.damage_error(f"{entry.segment}, line {line.number}")
            if line.start == entry.start and header.image == entry.image:
                is_found = entry.state is State.of(header.failure)
    if is_found:
        return records.damage_error(f"{entry.segment}, the line at byte {entry.start}")
    return sqlite3.DatabaseError("it does not lead to what the segments contain")
