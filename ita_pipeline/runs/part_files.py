"""Predictions of many posts in part files, so that an interrupted run can continue."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.records import has_valid_checksum, sign
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.core.files import open_atomically, write_atomically
from ita_pipeline.runs.predictions import MENTION_TYPES, TaggingInput

SCHEMA = "ita.predictions/1"

COLUMNS = ("number", "key", "schema", "id", "text", "view", "mentions", "failed")

PostIdentity = tuple[str, str]
"""The id of a post and the digest of its text and image."""


class PartFormat(StrEnum):
    """The format of part files; the value is their suffix."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A folder of part files, which several processes may write to at the same time."""

    folder: Path
    part_format: PartFormat

    @classmethod
    def open(cls, folder: Path, run: str, min_confidence: float, part_format: PartFormat) -> PartFolder:
        """Create the folder of a run's predictions, or open the one that a previous call created.

        Raises:
            UsageError: the folder contains something else.
        """
        manifest = {"schema": SCHEMA, "run": run, "min_confidence": min_confidence, "format": part_format.value}
        file = folder / "predictions.json"
        if file.is_file():
            existing = _read_manifest(file)
            changed = [name for name in manifest if existing.get(name) != manifest[name]]
            if changed:
                what = ", ".join(f"{name} {existing.get(name)}" for name in changed)
                raise UsageError(f"{folder} holds predictions with another {what}", "name another: --parts …")
        elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise UsageError(f"{folder} holds something else", "name a new folder: --parts …")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(manifest) + "\n")
        return cls(folder.absolute(), part_format)

    def write(self, rows: Sequence[dict[str, Any]]) -> Path:
        """Write rows, each with at least `number`, `id` and `key`, as one part.

        The name depends on the rows, so a part that is written twice exists once.

        Raises:
            OSError: the disk is full or fails.
        """
        identities = json.dumps([[row["id"], row["key"]] for row in rows])
        digest = hashlib.sha256(identities.encode()).hexdigest()
        path = self.folder / f"part-{rows[0]['number']:012d}-{digest[:16]}.{self.part_format.value}"
        with open_atomically(path) as file:
            if self.part_format is PartFormat.PARQUET:
                import pyarrow as pa
                import pyarrow.parquet as pq

                mentions = pa.list_(pa.struct(list(MENTION_TYPES.items())))
                types: dict[str, Any] = {"number": "int64", "mentions": mentions}
                schema = pa.schema([(name, types.get(name, "string")) for name in COLUMNS])
                pq.write_table(pa.Table.from_pylist(rows, schema), file, write_page_checksum=True)
            else:
                file.writelines(sign(row) + b"\n" for row in rows)
        return path

    def identities(self) -> Iterator[PostIdentity]:
        """Yield the identity of every predicted post.

        Raises:
            CorruptCacheError: a part is damaged.
        """
        read = _read_parquet if self.part_format is PartFormat.PARQUET else _read_jsonl
        for path in sorted(self.folder.glob(f"part-*.{self.part_format.value}")):
            try:
                yield from read(path)
            except (ValueError, KeyError, TypeError, OSError) as error:
                hint = f"rm {path}; what was in it is answered anew"
                raise CorruptCacheError(f"{path} is not what was written there", hint) from error


def _read_manifest(file: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError, OSError):
        content = json.loads(file.read_text("utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _read_parquet(path: Path) -> Iterator[PostIdentity]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(columns=["id", "key"]):
            for row in batch.to_pylist():
                yield row["id"], row["key"]


def _read_jsonl(path: Path) -> Iterator[PostIdentity]:
    with path.open("rb") as lines:
        for line in lines:
            if not has_valid_checksum(line.rstrip(b"\n")):
                raise ValueError("a line is damaged")
            row = json.loads(line)
            yield row["id"], row["key"]


class PredictedPosts:
    """The set of posts that have a prediction already, in a temporary database so that memory does not grow."""

    def __init__(self, parts: PartFolder) -> None:
        """Read the identities of a folder's posts.

        Raises:
            CorruptCacheError: a part is damaged.
        """
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE posts (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        with self._database:
            for identity in parts.identities():
                self._insert(identity)

    def add_new(self, inputs: Iterable[TaggingInput]) -> list[TaggingInput]:
        """Add posts to the set and return those that were not in it yet, in their order and without duplicates."""
        with self._database:
            return [item for item in inputs if self._insert((item.post.id, item.key))]

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def _insert(self, identity: PostIdentity) -> bool:
        """Insert a post and return whether it was new."""
        digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).digest()
        return self._database.execute("INSERT OR IGNORE INTO posts VALUES (?)", (digest,)).rowcount == 1
