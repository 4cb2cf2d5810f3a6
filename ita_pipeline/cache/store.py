"""The store: what every stage said of every image, one folder of segments a stage key."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ita_pipeline.cache.index import Entry, Index
from ita_pipeline.cache.keys import SHORT, StageKey
from ita_pipeline.cache.segments import MEND, Record, SegmentWriter, checked, decode, generation, sync_folder
from ita_pipeline.errors import CorruptCacheError
from ita_pipeline.manifest import Manifest
from stages.base import Stage

KEY_FILE = "stage.json"


class Store:
    """Reads and writes `.ita/` of a workspace. Any number of processes may do so at once: none shares a file.

    Within one process it belongs to one thread at a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = Index(root)
        self.manifest = Manifest(self.index)

    def folder(self, key: StageKey) -> Path:
        return self.root / "cache" / key.stage / key.short

    def results(self, stage: Stage[Any], key: StageKey, images: Sequence[str] | None = None) -> dict[str, Record]:
        """The records of these images under a key, or all of them; images without one are left out.

        Raises:
            CorruptCacheError: a record was damaged after it had been written.
        """
        folder = self.folder(key)
        self.index.refresh(folder)
        found = {}
        with Reader() as reader:
            for entry in self.index.entries(folder, images):
                found[entry.image] = reader.read(entry, stage)
        return found

    def other_keys(self, key: StageKey) -> list[StageKey]:
        """Keys under which the same stage has worked before, the one used last first."""
        files = [file for file in self.folder(key).parent.glob(f"*/{KEY_FILE}") if file.parent.name != key.short]
        found = [read_key(file) for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)]
        return [other for other in found if other is not None]

    def described(self, stage: str, hexdigest: str) -> StageKey | None:
        """A key in clear by its digest, where it is still known."""
        key = read_key(self.root / "cache" / stage / hexdigest[:SHORT] / KEY_FILE)
        return key if key is not None and key.hexdigest == hexdigest else None

    @contextmanager
    def writer(self, key: StageKey, anew: bool = False) -> Iterator[SegmentWriter]:
        """A segment to append to; with `anew`, one that outranks every segment that is there.

        Without it, the segment is one of first results: two processes that do the same picture at once agree on it
        whoever comes last, a value before a failure.
        """
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        describe(key, folder / KEY_FILE)
        self.mark_used(key)
        there = max((generation(path) for path in folder.glob("*.jsonl")), default=0)
        segment = SegmentWriter(folder, there + 1 if anew else 1)
        try:
            yield segment
        finally:
            segment.close()

    def mark_used(self, key: StageKey, at: float | None = None) -> None:
        """Note that a key is in use now, for those who tidy up and for the search of the nearest older key; or was
        used last at some other time, in seconds since 1970.
        """
        with suppress(OSError):
            os.utime(self.folder(key) / KEY_FILE, None if at is None else (at, at))


class Reader:
    """Reads records from where the index says they lie, and trusts only what it sees there."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.descriptor = -1

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.path, self.descriptor = None, -1

    def line(self, entry: Entry) -> bytes:
        """The line of a record, checked.

        Raises:
            CorruptCacheError: it is not what was written there.
        """
        if entry.segment != self.path:
            self.close()
            self.descriptor, self.path = os.open(entry.segment, os.O_RDONLY), entry.segment
        line = os.pread(self.descriptor, entry.length, entry.start)
        if not checked(line):
            raise damaged_record(entry)
        return line

    def read(self, entry: Entry, stage: Stage[Any]) -> Record:
        try:
            record = decode(self.line(entry), stage.value_type)
        except ValueError as error:
            raise damaged_record(entry) from error
        if record.image != entry.image:
            raise damaged_record(entry)
        return record


def damaged_record(entry: Entry) -> CorruptCacheError:
    return CorruptCacheError(
        f"the cache is damaged: {entry.segment}, the line at byte {entry.start}, is not what was written there",
        MEND,
    )


def read_key(file: Path) -> StageKey | None:
    """The key described in a file, or nothing where it cannot be read: only an explanation is then lost."""
    try:
        content = json.loads(file.read_bytes())
        return StageKey(content["components"]["stage"], content["components"], content["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe(key: StageKey, file: Path) -> None:
    """Write the key's components in clear beside its segments."""
    if not file.exists():
        text = json.dumps({"key": key.hexdigest, "components": key.components}, indent=2, ensure_ascii=False)
        write_atomically(file, text + "\n")


def write_atomically(file: Path, text: str) -> None:
    """Write a file so that it is either the old one or the new one, whatever happens.

    Raises:
        OSError: the disk is full or fails; the old file still stands.
    """
    with written_whole(file) as opened:
        opened.write(text.encode())


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of another when it is complete, and else leaves nothing.

    Raises:
        OSError: the disk is full or fails; the old file still stands.
    """
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(file.parent)
