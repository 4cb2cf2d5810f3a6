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
from typing import TYPE_CHECKING, Any

from ita_pipeline.cache.records import checked, signed
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.core.files import open_atomically, write_atomically
from ita_pipeline.core.iteration import batched
from ita_pipeline.runs.predictions import MENTION_TYPES, TaggingInput

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "predictions.json"

SCHEMA = "ita.predictions/1"

COLUMNS = ("number", "key", "schema", "id", "text", "view", "mentions", "failed")

DIGESTS_PER_QUERY = 500

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
        file = folder / MANIFEST
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

                pq.write_table(pa.Table.from_pylist(rows, _parquet_schema()), file, write_page_checksum=True)
            else:
                file.writelines(signed(row) + b"\n" for row in rows)
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
            if not checked(line.rstrip(b"\n")):
                raise ValueError("a line is damaged")
            row = json.loads(line)
            yield row["id"], row["key"]


def _parquet_schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[str, Any] = {"number": "int64", "mentions": pa.list_(pa.struct(list(MENTION_TYPES.items())))}
    return pa.schema([(name, types.get(name, "string")) for name in COLUMNS])


class PredictedPosts:
    """The set of posts that have a prediction already, in a temporary database so that memory does not grow."""

    def __init__(self, parts: PartFolder) -> None:
        """Read the identities of a folder's posts.

        Raises:
            CorruptCacheError: a part is damaged.
        """
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE posts (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._add(parts.identities())

    def add(self, inputs: Iterable[TaggingInput]) -> None:
        """Add posts to the set."""
        self._add((one.post.id, one.key) for one in inputs)

    def select_new(self, inputs: Iterable[TaggingInput]) -> list[TaggingInput]:
        """Return the posts that are not in the set, without duplicates, in their order."""
        new: dict[bytes, TaggingInput] = {}
        for one in inputs:
            new.setdefault(_digest((one.post.id, one.key)), one)
        for digests in batched(list(new), DIGESTS_PER_QUERY):
            marks = ", ".join("?" * len(digests))
            query = f"SELECT digest FROM posts WHERE digest IN ({marks})"
            for (digest,) in self._database.execute(query, digests):
                del new[digest]
        return list(new.values())

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def _add(self, identities: Iterable[PostIdentity]) -> None:
        rows = ((_digest(identity),) for identity in identities)
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO posts VALUES (?)", rows)


def _digest(identity: PostIdentity) -> bytes:
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).digest()
