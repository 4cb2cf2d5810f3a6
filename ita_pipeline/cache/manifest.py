"""The manifest: stamps of files that were hashed, contents of archives elsewhere, and posts of earlier plans.

It is derived: whenever it is missing, damaged or locked, files are hashed again, and a post whose text changed
counts as a new one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ita_pipeline.cache.index import QUERY_SIZE, Index
from ita_pipeline.sources.refs import Stamped
from stages.base import batched


@dataclass(frozen=True, slots=True)
class PostNote:
    """A post at its place when it was last planned, as JSON, and the parts of it that had changed by then."""

    place: str
    key: str
    post: str
    before: str = ""
    changed: tuple[str, ...] = ()


class Manifest:
    """Files, archives and posts of earlier runs. Where the database is broken, methods find or keep nothing."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()

    def get(self, paths: Sequence[bytes]) -> dict[bytes, Stamped]:
        """Find what is known of these files."""
        rows = self._select("SELECT * FROM files WHERE path", paths)
        return {row["path"]: Stamped(*row) for row in rows}

    def paths(self) -> list[bytes]:
        """Every file that was ever hashed, in order."""
        with suppress(sqlite3.Error):
            return [row[0] for row in self._index.connection.execute("SELECT path FROM files ORDER BY path")]
        return []

    def paths_of(self, keys: Sequence[str]) -> dict[str, list[bytes]]:
        """Find the last known files of these contents."""
        paths: dict[str, list[bytes]] = {}
        for row in self._select("SELECT key, path FROM files WHERE key", keys):
            paths.setdefault(row["key"], []).append(row["path"])
        return paths

    def put(self, files: Iterable[Stamped]) -> None:
        """Remember files that were hashed."""
        self._replace("files", [(file.path, file.stamp, file.key, file.before) for file in files])

    def archive(self, address: bytes, stamp: str) -> str | None:
        """The contents noted for an archive, if its stamp is still the same. Any thread may call this."""
        with self._lock, suppress(sqlite3.Error):
            query = "SELECT stamp, contents FROM archives WHERE address = ?"
            row = self._index.connection.execute(query, [address]).fetchone()
            return row["contents"] if row and row["stamp"] == stamp != "" else None
        return None

    def note_archive(self, address: bytes, stamp: str, contents: str) -> None:
        """Note the contents of an archive. Any thread may call this."""
        with self._lock:
            self._replace("archives", [(address, stamp, contents)])

    def find_posts_at(self, places: Sequence[str]) -> dict[str, PostNote]:
        """Find the posts noted for these places."""
        return {note.place: note for note in self._find_posts("place", places)}

    def find_posts(self, keys: Sequence[str]) -> dict[str, PostNote]:
        """Find posts by their keys, at whatever place."""
        return {note.key: note for note in self._find_posts("key", keys)}

    def note_posts(self, posts: Iterable[PostNote]) -> None:
        """Note posts with their places."""
        rows = [(note.place, note.key, note.post, note.before, ",".join(note.changed)) for note in posts]
        self._replace("posts", rows)

    def _find_posts(self, column: str, values: Sequence[str]) -> Iterator[PostNote]:
        for place, key, post, before, changed in self._select(f"SELECT * FROM posts WHERE {column}", values):
            yield PostNote(place, key, post, before, tuple(filter(None, changed.split(","))))

    def _select(self, query: str, values: Sequence[bytes] | Sequence[str]) -> list[sqlite3.Row]:
        """Select the rows that have one of these values in a column."""
        rows: list[sqlite3.Row] = []
        with suppress(sqlite3.Error):
            for batch in batched(values, QUERY_SIZE):
                marks = ", ".join("?" * len(batch))
                rows += self._index.connection.execute(f"{query} IN ({marks})", batch)
        return rows

    def _replace(self, table: str, rows: Sequence[tuple[bytes | str, ...]]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            with suppress(sqlite3.Error), self._index.transaction() as connection:
                connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)
