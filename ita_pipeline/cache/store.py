"""The store: what every stage said of every image, one folder of segments a stage key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.cache.index import LOOKS, Entry, Index
from ita_pipeline.cache.keys import SHORT, StageKey
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.cache.records import MEND, Record, SegmentWriter, checked, decode, generation
from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.files import write_atomically
from stages.base import Stage

KEY_FILE = "stage.json"

# Segments that a reader has open at once.
MOST_OPEN = 128


class Companion(Protocol):
    """A cache elsewhere that a store fetches from, and that takes what is written."""

    @property
    def oldest(self) -> float:
        """Seconds after which a segment is closed, so that others see what is in it."""
        ...

    def bring(self, store: Store, stage: Stage[Any], key: StageKey) -> None:
        """Fetch what the store lacks under a key."""
        ...

    def closed(self, key: StageKey, segment: Path) -> None:
        """Nothing more is appended to this segment."""
        ...


class Store:
    """Reads and writes `.ita/` of a workspace. Any number of processes may do so at once: none shares a file.

    Within one process it belongs to one thread at a time.
    """

    def __init__(self, root: Path, companion: Companion | None = None) -> None:
        self.root = root
        self.companion = companion
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
        for _ in range(LOOKS - 1):
            with suppress(FileNotFoundError):  # brought together with others since it was looked at
                return self.read(stage, folder, images)
        return self.read(stage, folder, images)

    def read(self, stage: Stage[Any], folder: Path, images: Sequence[str] | None) -> dict[str, Record]:
        self.index.refresh(folder)
        with Reader() as reader:
            return {entry.image: reader.read(entry, stage) for entry in self.index.entries(folder, images)}

    def bring(self, stage: Stage[Any], key: StageKey) -> None:
        """Fetch what a shared cache has under a key, where one is set.

        Raises:
            UserError: there is no such place, or nobody may read it.
        """
        if self.companion is not None:
            self.companion.bring(self, stage, key)

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
        ranks = [generation(path) for path in folder.glob("*.jsonl")]
        rank = max(ranks, default=0) + 1 if anew else 1
        companion = self.companion
        closed = None if companion is None else partial(companion.closed, key)
        segment = SegmentWriter(folder, rank, closed, None if companion is None else companion.oldest)
        try:
            yield segment
        finally:
            segment.close()

    def mark_used(self, key: StageKey) -> None:
        """Record that a key is in use now: cleanup and the search for the nearest older key go by that time."""
        with suppress(OSError):
            os.utime(self.folder(key) / KEY_FILE)


class Reader:
    """Reads records from where the index says they lie, and trusts only what it sees there."""

    def __init__(self) -> None:
        self.open: dict[Path, int] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for descriptor in self.open.values():
            os.close(descriptor)
        self.open.clear()

    def descriptor(self, segment: Path) -> int:
        found = self.open.get(segment)
        if found is None:
            if len(self.open) >= MOST_OPEN:
                os.close(self.open.pop(next(iter(self.open))))
            found = self.open[segment] = os.open(segment, os.O_RDONLY)
        return found

    def line(self, entry: Entry) -> bytes:
        """The line of a record, checked.

        Raises:
            CorruptCacheError: it is not what was written there.
        """
        line = os.pread(self.descriptor(entry.segment), entry.length, entry.start)
        if not checked(line):
            raise damaged_record(entry)
        return line

    def read(self, entry: Entry, stage: Stage[Any] | type[Stage[Any]]) -> Record:
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
        write_atomically(file, key_text(key))


def key_text(key: StageKey) -> str:
    """A key as its file says it."""
    return json.dumps({"key": key.hexdigest, "components": key.components}, indent=2, ensure_ascii=False) + "\n"
