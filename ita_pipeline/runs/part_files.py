"""Predictions of many posts, written in part files so that an interrupted run continues."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.records import checked, signed
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.core.files import open_atomically, write_atomically
from ita_pipeline.runs.predictions import Asked
from ita_pipeline.runs.predictor import Predictor

MANIFEST = "predictions.json"

SCHEMA = "ita.predictions/1"

AT_ONCE = 500

Known = tuple[str, str]


class Form(StrEnum):
    """How a part is written; the value is the suffix of its file."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder of parts. Any process may write to it that knows it."""

    folder: Path
    form: Form

    @classmethod
    def of_run(cls, folder: Path, run: str, min_confidence: float, form: Form) -> Parts:
        """The folder of a run's predictions, a new one or one to go on with.

        Raises:
            UsageError: something else is there.
        """
        manifest = {"schema": SCHEMA, "run": run, "min_confidence": min_confidence, "format": form.value}
        file = folder / MANIFEST
        if file.is_file():
            before = read_manifest(file)
            other = [name for name in manifest if before.get(name) != manifest[name]]
            if other:
                what = ", ".join(f"{name} {before.get(name)}" for name in other)
                raise UsageError(f"{folder} holds predictions with another {what}", "name another: --parts …")
        elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise UsageError(f"{folder} holds something else", "name a new folder: --parts …")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(manifest) + "\n")
        return cls(folder.absolute(), form)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"part-*.{self.form.value}"))

    def write(self, rows: Sequence[dict[str, Any]]) -> Path:
        """Write rows, which have at least `number`, `id` and `key`, as a part of their own.

        The same rows always have the same name, so that what is written twice is there once.

        Raises:
            OSError: the disk is full or fails.
        """
        same = hashlib.sha256(json.dumps([[row["id"], row["key"]] for row in rows]).encode()).hexdigest()
        path = self.folder / f"part-{rows[0]['number']:012d}-{same[:16]}.{self.form.value}"
        with open_atomically(path) as opened:
            if self.form is Form.PARQUET:
                import pyarrow as pa
                import pyarrow.parquet as pq

                pq.write_table(pa.Table.from_pylist(rows, columns()), opened, write_page_checksum=True)
            else:
                opened.writelines(signed(row) + b"\n" for row in rows)
        return path

    def known(self) -> Iterator[Known]:
        """Id and key of every post that is answered.

        Raises:
            CorruptCacheError: a part is not what was written there.
        """
        for path in self.files():
            try:
                yield from known_in(path, self.form)
            except (ValueError, KeyError, TypeError, OSError) as error:
                hint = f"rm {path}; what was in it is answered anew"
                raise CorruptCacheError(f"{path} is not what was written there", hint) from error


def read_manifest(file: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError, OSError):
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def known_in(path: Path, form: Form) -> Iterator[Known]:
    """
    Raises:
        ValueError: a line, or a page, is damaged.
    """
    if form is Form.PARQUET:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, page_checksum_verification=True) as opened:
            for batch in opened.iter_batches(columns=["id", "key"]):
                for row in batch.to_pylist():
                    yield row["id"], row["key"]
        return
    with path.open("rb") as lines:
        for line in lines:
            if not checked(line.rstrip(b"\n")):
                raise ValueError("a line is damaged")
            row = json.loads(line)
            yield row["id"], row["key"]


def columns() -> Any:
    """The columns of a Parquet part."""
    import pyarrow as pa

    mention = pa.struct(
        [
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("text", pa.string()),
            ("type", pa.string()),
            ("score", pa.float64()),
        ]
    )
    return pa.schema(
        [
            ("number", pa.int64()),
            ("key", pa.string()),
            ("schema", pa.string()),
            ("id", pa.string()),
            ("text", pa.string()),
            ("view", pa.string()),
            ("mentions", pa.list_(mention)),
            ("failed", pa.string()),
        ]
    )


class Answered:
    """Which posts have an answer already. It lies on disk, in a file that goes with it, however many they are."""

    def __init__(self, parts: Parts) -> None:
        """
        Raises:
            CorruptCacheError: a part is not what was written there.
        """
        self.database = sqlite3.connect("")
        self.database.execute("CREATE TABLE answered (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self.add(parts.known())

    def add(self, posts: Iterator[Known]) -> None:
        rows = ((short(*known),) for known in posts)
        with self.database:
            self.database.executemany("INSERT OR IGNORE INTO answered VALUES (?)", rows)

    def among(self, posts: Sequence[Known]) -> set[Known]:
        found: set[Known] = set()
        for start in range(0, len(posts), AT_ONCE):
            by_digest = {short(*known): known for known in posts[start : start + AT_ONCE]}
            marks = ", ".join("?" * len(by_digest))
            rows = self.database.execute(f"SELECT digest FROM answered WHERE digest IN ({marks})", list(by_digest))
            found |= {by_digest[digest] for (digest,) in rows}
        return found

    def close(self) -> None:
        self.database.close()


def short(id: str, key: str) -> bytes:
    return hashlib.blake2b(json.dumps([id, key]).encode(), digest_size=16).digest()


def write_part(predictor: Predictor, parts: Parts, chunk: Sequence[Asked]) -> None:
    parts.write([one.row(mentions) for one, mentions in zip(chunk, predictor.mentions(chunk), strict=True)])
