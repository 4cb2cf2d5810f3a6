"""The store: what every stage said of every image, one folder of segments a stage key."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.segments import Record, SegmentWriter, image_keys, records, sync_folder
from ita_pipeline.manifest import Manifest
from stages.base import Failure, Stage

KEY_FILE = "stage.json"


class Store:
    """Reads and writes `.ita/` of a workspace. Any number of processes may do so at once: none shares a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = Manifest(root / "index.sqlite")
        self.read: dict[Path, dict[str, Record]] = {}

    def folder(self, key: StageKey) -> Path:
        return self.root / "cache" / key.stage / key.short

    def results(self, stage: Stage[Any], key: StageKey) -> Mapping[str, Record]:
        """All records under a key by image key. A value beats a failure, else the first one written holds.

        Raises:
            CorruptCacheError: a segment was damaged after it had been written.
        """
        folder = self.folder(key)
        if folder not in self.read:
            found: dict[str, Record] = {}
            for segment in sorted(folder.glob("*.jsonl")):
                for record in records(segment, stage.value_type):
                    remember(found, record)
            self.read[folder] = found
        return self.read[folder]

    def images_under(self, key: StageKey) -> set[str]:
        """Images that have a record under a key, whatever shape its values had; damaged lines are passed over."""
        return {image for segment in self.folder(key).glob("*.jsonl") for image in image_keys(segment)}

    def other_keys(self, key: StageKey) -> Iterator[StageKey]:
        """Keys under which the same stage has worked before, newest first."""
        described = sorted(
            self.folder(key).parent.glob(f"*/{KEY_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        for file in described:
            if file.parent.name == key.short:
                continue
            try:
                content = json.loads(file.read_bytes())
                yield StageKey(key.stage, content["components"], content["key"])
            except (ValueError, KeyError):
                continue  # only the explanation is lost, not a result

    @contextmanager
    def writer(self, key: StageKey) -> Iterator[StoreWriter]:
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        describe(key, folder / KEY_FILE)
        segment = SegmentWriter(folder)
        try:
            yield StoreWriter(segment, self.read.setdefault(folder, {}))
        finally:
            segment.close()


class StoreWriter:
    """Appends to the store and keeps what was already read in step."""

    def __init__(self, segment: SegmentWriter, read: dict[str, Record]) -> None:
        self.segment = segment
        self.read = read

    def append(self, batch: list[Record]) -> None:
        self.segment.append(batch)
        for record in batch:
            remember(self.read, record)


def remember(found: dict[str, Record], record: Record) -> None:
    before = found.get(record.image)
    if before is None or (isinstance(before.result, Failure) and not isinstance(record.result, Failure)):
        found[record.image] = record


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
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(file.parent)
