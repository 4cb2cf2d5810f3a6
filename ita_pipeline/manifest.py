"""The file manifest: path, size, time and inode of files that were hashed, to save hashing them again.

It is derived: whenever it is missing, damaged or locked, files are hashed instead.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp TEXT NOT NULL, key TEXT NOT NULL)"


@dataclass(frozen=True, slots=True)
class Stamped:
    """A file as it stood when it was hashed."""

    path: bytes
    stamp: str
    key: str


class Manifest:
    """`get` and `put` never raise for what is wrong with the database: they find nothing, or keep nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self) -> dict[bytes, Stamped]:
        """All files known, by path."""
        if not self.path.exists():
            return {}
        try:
            with closing(sqlite3.connect(self.path, timeout=5)) as database:
                rows = database.execute("SELECT path, stamp, key FROM files").fetchall()
        except sqlite3.Error:
            return {}
        return {path: Stamped(path, stamp, key) for path, stamp, key in rows}

    def put(self, files: Iterable[Stamped]) -> None:
        rows = [(file.path, file.stamp, file.key) for file in files]
        if not rows:
            return
        with suppress(sqlite3.Error, OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.write(rows)
            except sqlite3.OperationalError:  # locked, or no room: another time
                return
            except sqlite3.DatabaseError:  # not a database any more
                self.path.unlink()
                self.write(rows)

    def write(self, rows: list[tuple[bytes, str, str]]) -> None:
        with closing(sqlite3.connect(self.path, timeout=5)) as database, database:
            database.execute(SCHEMA)
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
