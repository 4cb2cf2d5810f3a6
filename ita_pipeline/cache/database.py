"""The SQLite database of the index, and the rows that it stores for records."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

from ita_pipeline.cache.records import Line
from stages.base import FailureKind

ENTER = "INSERT INTO folders (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id"


ENROL = """
INSERT INTO segments (folder, name) VALUES (?, ?) ON CONFLICT (folder, name) DO UPDATE SET name = name RETURNING id
"""


GATHER = "INSERT INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

ONE, ALL = "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "SELECT * FROM incoming WHERE true ORDER BY image"


# Of two records of one image the later generation holds, then a value before a failure, then the first by name.
REMEMBER = """
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


class State(IntEnum):
    """What a record is: a value, or a failure of one of the three kinds."""

    VALUE = 0
    PERMANENT = 1
    TRANSIENT = 2
    RESOURCE = 3

    @property
    def kind(self) -> FailureKind:
        return FailureKind[self.name]

    @classmethod
    def of(cls, failure: FailureKind | None) -> State:
        return cls.VALUE if failure is None else cls[failure.name]


def stored(image: str) -> bytes | str:
    """A sha256 as its 32 bytes; any other id as the text it is."""
    if len(image) == 64:
        with suppress(ValueError):
            raw = bytes.fromhex(image)
            if raw.hex() == image:
                return raw
    return image


def sortable(image: bytes | str) -> bytes:
    return image if isinstance(image, bytes) else image.encode("utf-8", "surrogatepass")


def numbers(segments: Sequence[int]) -> str:
    return ", ".join(map(str, segments))


def row_of(folder: int, segment: int, rank: int, line: Line) -> tuple[Any, ...]:
    """A line's row in `records`, found without reading its value."""
    state = State.of(line.failure)
    return (folder, stored(line.image), segment, line.start, len(line.content), int(state), line.seconds, rank)


VERSION = 6

# New records are random keys all over the table: with the usual 2 MB of pages, most of them would be read anew.
PAGES_KILOBYTES = 64 * 1024


SCHEMA = """
CREATE TABLE files (path BLOB PRIMARY KEY, stamp TEXT, key TEXT, before TEXT) WITHOUT ROWID;
CREATE TABLE archives (address BLOB PRIMARY KEY, stamp TEXT, contents TEXT) WITHOUT ROWID;
CREATE TABLE posts (place TEXT PRIMARY KEY, key TEXT, post TEXT, before TEXT, changed TEXT) WITHOUT ROWID;
CREATE INDEX posts_by_key ON posts (key);
CREATE TABLE folders (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, folder INTEGER, name TEXT, inode INTEGER, size INTEGER, stamp TEXT, settled INTEGER,
    read INTEGER, lines INTEGER, UNIQUE (folder, name));
CREATE TABLE records (
    folder INTEGER, image, segment INTEGER, start INTEGER, length INTEGER, state INTEGER, seconds REAL,
    generation INTEGER, PRIMARY KEY (folder, image)) WITHOUT ROWID;
CREATE TABLE damage (folder INTEGER, segment INTEGER, line INTEGER, image TEXT);
"""


class Database:
    """The connection; made with the first question."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "index.sqlite"
        self.opened: sqlite3.Connection | None = None

    @property
    def database(self) -> sqlite3.Connection:
        if self.opened is None:
            self.use(self.open())
        assert self.opened is not None
        return self.opened

    def use(self, database: sqlite3.Connection) -> None:
        self.opened = database
        weakref.finalize(self, database.close)

    def open(self) -> sqlite3.Connection:
        """The file where it can be used; where it is damaged it is removed, and else memory has to do."""
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
        for _ in range(2 if self.root.is_dir() else 0):
            try:
                return prepared(str(self.file))
            except sqlite3.OperationalError:  # locked for long, not writable, no room
                break
            except sqlite3.DatabaseError:  # not a database any more
                with suppress(OSError):
                    self.file.unlink(missing_ok=True)
        return prepared(":memory:")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        database = self.database
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def prepared(file: str) -> sqlite3.Connection:
    """A database with our tables; one of another version is emptied first.

    Raises:
        sqlite3.DatabaseError: the file is none of ours, or cannot be used now.
    """
    database = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        database.row_factory = sqlite3.Row
        database.execute(f"PRAGMA cache_size = -{PAGES_KILOBYTES}")
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            database.execute("BEGIN EXCLUSIVE")
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    database.execute(f'DROP TABLE "{name}"')
                for statement in filter(str.strip, SCHEMA.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
