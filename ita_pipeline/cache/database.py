"""The SQLite database of the index: its tables, its connection, and the rows that it stores for records.

All that it contains is derived. A file that is damaged is removed and built again, once in a process. SQLite only
notices damage to its own structures, so rows carry a mark of their values, which is compared when they are read.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import weakref
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from ita_pipeline.cache.records import Header, SegmentLine
from ita_pipeline.core.files import file_stamp
from stages.base import FailureKind

logger = logging.getLogger(__name__)

VERSION = 7

# A number that no longer fits where one of the other columns has changed.
MARK = (
    "((segment * 3 + start * 5 + length * 7 + state * 11 + generation * 13 "
    "+ CAST(seconds * 10000 AS INTEGER) * 17) % 32749)"
)

IS_SOUND = f"records.mark IS {MARK}"

SCHEMA = f"""
CREATE TABLE files (path BLOB PRIMARY KEY, stamp TEXT, key TEXT, before TEXT, mark INTEGER) WITHOUT ROWID;
CREATE TABLE archives (address BLOB PRIMARY KEY, stamp TEXT, contents TEXT, mark INTEGER) WITHOUT ROWID;
CREATE TABLE posts (
    place TEXT PRIMARY KEY, key TEXT, post TEXT, before TEXT, changed TEXT, mark INTEGER) WITHOUT ROWID;
CREATE INDEX posts_by_key ON posts (key);
CREATE TABLE folders (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, folder INTEGER, name TEXT, inode INTEGER, size INTEGER, stamp TEXT, settled INTEGER,
    read INTEGER, lines INTEGER, mark INTEGER, UNIQUE (folder, name));
CREATE TABLE records (
    folder INTEGER, image, segment INTEGER, start INTEGER, length INTEGER, state INTEGER, seconds REAL,
    generation INTEGER, mark INTEGER AS {MARK} STORED, PRIMARY KEY (folder, image)) WITHOUT ROWID;
CREATE TABLE damage (folder INTEGER, segment INTEGER, line INTEGER, image TEXT);
"""

ONE_ROW, INCOMING_ROWS = "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "SELECT * FROM incoming WHERE true ORDER BY image"

# Of two records of an image, the later generation counts, then a value before a failure, then the first by name.
INSERT_RECORDS = """
INSERT INTO records {rows}
ON CONFLICT (folder, image) DO UPDATE SET
    segment = excluded.segment, start = excluded.start, length = excluded.length, state = excluded.state,
    seconds = excluded.seconds, generation = excluded.generation
WHERE segment IN ({gone}) OR excluded.generation > generation
    OR (excluded.generation = generation AND excluded.state = 0 AND state != 0)
    OR (excluded.generation = generation AND (excluded.state = 0) = (state = 0)
        AND (SELECT name FROM segments WHERE id = excluded.segment)
            < (SELECT name FROM segments WHERE id = records.segment))
"""

# New records are inserted in the order of the table, this many at once, usually a whole segment: keys are random,
# and each would touch a page of its own.
INSERT_SIZE = 400_000

# What SQLite raises; a message that contains damaged text cannot be decoded.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

# Errors of this machine, or of another process, which say nothing about the file.
ENVIRONMENT_ERRORS = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

Answer = TypeVar("Answer")

RecordRow = tuple[int, bytes | str, int, int, int, int, float, int]


class State(IntEnum):
    """Whether a record contains a value, or which of the three kinds of failure."""

    VALUE = 0
    PERMANENT = 1
    TRANSIENT = 2
    RESOURCE = 3

    @classmethod
    def of(cls, failure: FailureKind | None) -> State:
        """The state of a record with this failure, or with a value."""
        return cls.VALUE if failure is None else cls[failure.name]


def to_column(image: str) -> bytes | str:
    """Convert an image to its column value: a sha256 to its 32 bytes, any other id to itself."""
    if len(image) == 64:
        with suppress(ValueError):
            raw = bytes.fromhex(image)
            if raw.hex() == image:
                return raw
    return image


def from_column(image: bytes | str) -> str:
    """Convert a column value back to the image."""
    return image.hex() if isinstance(image, bytes) else image


def sort_bytes(image: bytes | str) -> bytes:
    """The bytes by which the table sorts images of one kind."""
    return image if isinstance(image, bytes) else image.encode("utf-8", "surrogatepass")


def table_order(images: Sequence[str]) -> Iterable[int]:
    """Positions sorted as the table is, by the first eight bytes only, which suffice for random keys.

    A list of ten million rows would take more memory than the images.
    """
    heads = (int.from_bytes(sort_bytes(to_column(image))[:8].ljust(8, b"\0"), "big") for image in images)
    if len(images) <= INSERT_SIZE:
        return (position for _, position in sorted(zip(heads, range(len(images)), strict=True)))
    import numpy as np

    order = np.argsort(np.fromiter(heads, np.uint64, len(images)), kind="stable")
    return map(int, order)


def to_row(folder: int, segment: int, generation: int, line: SegmentLine, header: Header) -> RecordRow:
    """The row of a line in `records`."""
    state = int(State.of(header.failure))
    image = to_column(header.image)
    return (folder, image, segment, line.start, len(line.content), state, header.seconds, generation)


def mark_of(values: Sequence[object]) -> int:
    """The mark of a row that is read as a whole: a check sum of its values."""
    return zlib.crc32(repr(tuple(values)).encode())


def is_unchanged(row: sqlite3.Row, path: Path) -> bool:
    """Whether a segment is as it was when its row was written."""
    return bool(row["settled"]) and row["stamp"] == file_stamp(path.stat())


def has_only_grown(row: sqlite3.Row, path: Path) -> bool:
    """Whether a segment is unchanged, or records were appended to it since."""
    status = path.stat()
    return is_unchanged(row, path) or (status.st_ino == row["inode"] and status.st_size > row["size"])


def join_ids(ids: Sequence[int]) -> str:
    """A list of ids as SQL."""
    return ", ".join(map(str, ids))


class Database:
    """A connection to the index file, or to memory where that file cannot be used; opened on first use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "index.sqlite"
        self._was_rebuilt = False

    @cached_property
    def connection(self) -> sqlite3.Connection:
        """The connection to the file, or to memory where it cannot be used. A damaged file is built again."""
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
        for _ in range(2 if self.root.is_dir() else 0):
            try:
                return self._open(str(self.file))
            except DATABASE_ERRORS as error:
                if not self._is_damage(error):
                    break
                self._remove(error)
        return self._open(":memory:")

    def attempt(self, work: Callable[[], Answer], use_memory: bool = True) -> Answer:
        """Do some work with the database; where it fails, do it again with a new file, and at last in memory.

        Raises:
            sqlite3.Error: it failed, the file is not known to be damaged, and `use_memory` is false.
        """
        try:
            return work()
        except DATABASE_ERRORS as error:
            failure = error
        if self._is_damage(failure):
            self._remove(failure)
            vars(self).pop("connection", None)
            with suppress(*DATABASE_ERRORS):
                self.restore()
                return work()
        elif not use_memory:
            raise failure
        self.connection = self._open(":memory:")
        self.restore()
        return work()

    def restore(self) -> None:
        """Derive again what an empty database has to contain."""

    def _is_damage(self, error: Exception) -> bool:
        """Whether the file is damaged, and was not built again by this process before."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if self._was_rebuilt:
            return False
        if code & 0xFF == sqlite3.SQLITE_READONLY:  # a damaged header may say so, too
            return code == sqlite3.SQLITE_READONLY and all(os.access(p, os.W_OK) for p in (self.root, self.file))
        return code & 0xFF not in ENVIRONMENT_ERRORS

    def _remove(self, error: Exception) -> None:
        self._was_rebuilt = True
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
            self.file.with_name(f"{self.file.name}-journal").unlink(missing_ok=True)
        logger.warning(f"the index {self.file} was damaged ({error}), and is built again from the records")

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Open a transaction for writing, which an error rolls back."""
        with self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def open_inserter(self, replaced: Sequence[int], is_bulk: bool) -> Generator[Callable[[list[RecordRow]], None]]:
        """Yield a function that inserts rows into `records`, also in place of those of the `replaced` segments.

        In bulk, rows are collected, and put into the table together at the end, sorted on the disk.
        """
        gone = join_ids(replaced)
        merge_one = INSERT_RECORDS.format(rows=ONE_ROW, gone=gone)

        def insert(rows: list[RecordRow]) -> None:
            if is_bulk:
                self.connection.executemany(f"INSERT INTO incoming {ONE_ROW}", rows)
            else:
                rows.sort(key=lambda row: sort_bytes(row[1]))
                self.connection.executemany(merge_one, rows)

        if is_bulk:
            columns = "folder, image, segment, start, length, state, seconds, generation"
            self.connection.execute(f"CREATE TEMP TABLE incoming AS SELECT {columns} FROM records WHERE false")
        yield insert
        if is_bulk:
            self.connection.execute(INSERT_RECORDS.format(rows=INCOMING_ROWS, gone=gone))
            self.connection.execute("DROP TABLE incoming")

    def _open(self, file: str) -> sqlite3.Connection:
        """
        Raises:
            sqlite3.DatabaseError: the file is not a database, or cannot be used now.
        """
        connection = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except DATABASE_ERRORS:
            connection.close()
            raise
        weakref.finalize(self, connection.close)
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the tables of a database, after removing those of another version."""
    connection.row_factory = sqlite3.Row
    # Keys are random, and so are the pages of new records: the usual 2 MB would be read again and again.
    connection.execute("PRAGMA cache_size = -65536")  # kilobytes
    if _is_current(connection):
        return
    with connection:
        connection.execute("BEGIN EXCLUSIVE")
        if not _is_current(connection):
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                connection.execute(f'DROP TABLE "{name}"')
            for statement in filter(str.strip, SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _is_current(connection: sqlite3.Connection) -> bool:
    return connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
