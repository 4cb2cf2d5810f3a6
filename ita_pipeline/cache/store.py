"""The store: the records of every stage and image, with one folder of segments per stage key."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.cache.index import MAX_ATTEMPTS, Index, IndexEntry
from ita_pipeline.cache.keys import SHORT_KEY_LENGTH, StageKey
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.cache.records import (
    MAX_SEGMENT_BYTES,
    Record,
    SegmentWriter,
    damage_error,
    decode,
    has_valid_checksum,
    parse_generation,
)
from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.files import write_atomically
from stages.base import Stage

KEY_FILE = "stage.json"

# Segments that a reader has open at the same time.
MAX_OPEN_SEGMENTS = 128


class RemoteCache(Protocol):
    """A cache elsewhere that a store fetches from, and that takes what is written."""

    @property
    def max_segment_age(self) -> float:
        """Seconds after which a segment is closed, so that others see its records."""
        ...

    def fetch(self, store: Store, stage: Stage[Any], key: StageKey) -> None:
        """Fetch the segments of a key that the store lacks."""

    def on_segment_closed(self, key: StageKey, segment: Path) -> None:
        """Take a segment to which nothing more is appended."""


class Store:
    """Reads and writes `.ita/` of a workspace. Any number of processes may do so at once: none shares a file.

    Within a process, only one thread at a time may use a store.
    """

    def __init__(self, root: Path, remote: RemoteCache | None = None) -> None:
        self.root = root
        self.remote = remote
        self.index = Index(root)
        self.manifest = Manifest(self.index)
        self.max_segment_bytes = MAX_SEGMENT_BYTES

    def folder(self, key: StageKey) -> Path:
        """The folder of a key."""
        return self.root / "cache" / key.stage / key.short

    def key_files(self) -> list[Path]:
        """The description files of all keys, in order; each is in the folder of its key."""
        return sorted((self.root / "cache").glob(f"*/*/{KEY_FILE}"))

    def results(self, stage: Stage[Any], key: StageKey, images: Sequence[str] | None = None) -> dict[str, Record]:
        """Read the records of these images under a key, or all of them. Images without a record are left out.

        Raises:
            CorruptCacheError: a record was damaged after it had been written.
        """
        folder = self.folder(key)
        for _ in range(MAX_ATTEMPTS - 1):
            with suppress(FileNotFoundError):  # merged with others since it was indexed
                return self._read_records(stage, folder, images)
        return self._read_records(stage, folder, images)

    def _read_records(self, stage: Stage[Any], folder: Path, images: Sequence[str] | None) -> dict[str, Record]:
        self.index.refresh(folder)
        with RecordReader() as reader:
            return {entry.image: reader.read(entry, stage) for entry in self.index.find_entries(folder, images)}

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
        folder.mkdir(parents=True, exist_ok=True)
        write_key(key, folder / KEY_FILE)
        self.mark_used(key)
        generations = [parse_generation(path.name) for path in folder.glob("*.jsonl")]
        generation = max(generations, default=0) + 1 if replace else 1
        remote = self.remote
        on_close = None if remote is None else partial(remote.on_segment_closed, key)
        max_age = None if remote is None else remote.max_segment_age
        writer = SegmentWriter(folder, generation, on_close, max_age, self.max_segment_bytes)
        try:
            yield writer
        finally:
            writer.close()

    def mark_used(self, key: StageKey) -> None:
        """Record that a key is in use now: cleanup and the search for the nearest older key go by that time."""
        with suppress(OSError):
            os.utime(self.folder(key) / KEY_FILE)


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

    def read(self, entry: IndexEntry, stage: Stage[Any] | type[Stage[Any]]) -> Record:
        """Read a record.

        Raises:
            CorruptCacheError: it is not as it was written.
        """
        line = self.read_line(entry)
        try:
            record = decode(line, stage.value_type)
        except ValueError as error:
            raise _damage_error(entry) from error
        if record.image != entry.image:
            raise _damage_error(entry)
        return record

    def read_line(self, entry: IndexEntry) -> bytes:
        """Read the line of a record.

        Raises:
            CorruptCacheError: it is not as it was written.
        """
        line = os.pread(self._open(entry.segment), entry.length, entry.start)
        if not has_valid_checksum(line):
            raise _damage_error(entry)
        return line

    def _open(self, segment: Path) -> int:
        descriptor = self._descriptors.get(segment)
        if descriptor is None:
            if len(self._descriptors) >= MAX_OPEN_SEGMENTS:
                os.close(self._descriptors.pop(next(iter(self._descriptors))))
            descriptor = self._descriptors[segment] = os.open(segment, os.O_RDONLY)
        return descriptor


def _damage_error(entry: IndexEntry) -> CorruptCacheError:
    return damage_error(f"{entry.segment}, the line at byte {entry.start}")


def read_key(file: Path) -> StageKey | None:
    """Read the key that a file describes, or None where it cannot be read: only an explanation is lost then."""
    try:
        description = json.loads(file.read_bytes())
        return StageKey(description["components"]["stage"], description["components"], description["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_key(key: StageKey, file: Path) -> None:
    """Describe a key in a file beside its segments, unless that file exists."""
    if not file.exists():
        write_atomically(file, format_key(key))


def format_key(key: StageKey) -> str:
    """The description of a key as JSON."""
    return json.dumps({"key": key.hexdigest, "components": key.components}, indent=2, ensure_ascii=False) + "\n"
