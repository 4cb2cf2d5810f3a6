"""The manifest: path, size, times and inode of files that were hashed, to save hashing them again; what is in
archives elsewhere; and posts.

It is derived: whenever it is missing, damaged or locked, files are hashed instead, and a post whose text changed is
taken for a new one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ita_pipeline.cache.index import AT_ONCE, Index
from ita_pipeline.core.iteration import batched
from ita_pipeline.sources.refs import Stamped


@dataclass(frozen=True, slots=True)
class Noted:
    """A post as it stood in its place when it was planned last, in JSON, and what had changed then."""

    place: str
    key: str
    post: str
    before: str = ""
    changed: tuple[str, ...] = ()


class Manifest:
    """`get` and `put` never raise for what is wrong with the database: they find nothing, or keep nothing."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.lock = threading.Lock()

    def get(self, paths: Sequence[bytes]) -> dict[bytes, Stamped]:
        """What is known of these files."""
        found: dict[bytes, Stamped] = {}
        with suppress(sqlite3.Error):
            for some in batched(paths, AT_ONCE):
                marks = ", ".join("?" * len(some))
                rows = self.index.database.execute(f"SELECT * FROM files WHERE path IN ({marks})", some)
                found |= {row[0]: Stamped(*row) for row in rows}
        return found

    def paths(self) -> list[bytes]:
        """Every file that was ever hashed, in order."""
        with suppress(sqlite3.Error):
            return [row[0] for row in self.index.database.execute("SELECT path FROM files ORDER BY path")]
        return []

    def paths_of(self, keys: Sequence[str]) -> dict[str, list[bytes]]:
        """Where files of these contents were seen last."""
        found: dict[str, list[bytes]] = {}
        with suppress(sqlite3.Error):
            for some in batched(keys, AT_ONCE):
                marks = ", ".join("?" * len(some))
                rows = self.index.database.execute(f"SELECT key, path FROM files WHERE key IN ({marks})", some)
                for key, path in rows:
                    found.setdefault(key, []).append(path)
        return found

    def put(self, files: Iterable[Stamped]) -> None:
        rows = [(file.path, file.stamp, file.key, file.before) for file in files]
        if rows:
            with suppress(sqlite3.Error), self.index.writing() as database:
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    def archive(self, address: bytes, stamp: str) -> str | None:
        """What was noted of the contents of an archive that stood then as it does now. Any thread may ask."""
        with self.lock, suppress(sqlite3.Error):
            row = self.index.database.execute("SELECT stamp, contents FROM archives WHERE address = ?", [address])
            found = row.fetchone()
            return found["contents"] if found and found["stamp"] == stamp != "" else None
        return None

    def note_archive(self, address: bytes, stamp: str, contents: str) -> None:
        with self.lock, suppress(sqlite3.Error), self.index.writing() as database:
            database.execute("INSERT OR REPLACE INTO archives VALUES (?, ?, ?)", [address, stamp, contents])

    def noted(self, places: Sequence[str]) -> dict[str, Noted]:
        """What is known of the posts in these places."""
        return {note.place: note for note in self.posts("place", places)}

    def noted_as(self, keys: Sequence[str]) -> dict[str, Noted]:
        """Posts by these keys, wherever they stand."""
        return {note.key: note for note in self.posts("key", keys)}

    def posts(self, column: str, values: Sequence[str]) -> list[Noted]:
        found: list[Noted] = []
        with suppress(sqlite3.Error):
            for some in batched(values, AT_ONCE):
                marks = ", ".join("?" * len(some))
                rows = self.index.database.execute(f"SELECT * FROM posts WHERE {column} IN ({marks})", some)
                found += [
                    Noted(row[0], row[1], row[2], row[3], tuple(filter(None, row[4].split(",")))) for row in rows
                ]
        return found

    def note(self, posts: Iterable[Noted]) -> None:
        rows = [(note.place, note.key, note.post, note.before, ",".join(note.changed)) for note in posts]
        if rows:
            with suppress(sqlite3.Error), self.index.writing() as database:
                database.executemany("INSERT OR REPLACE INTO posts VALUES (?, ?, ?, ?, ?)", rows)
