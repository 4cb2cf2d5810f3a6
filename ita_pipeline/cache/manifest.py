"""The manifest: stamps of files that were hashed, contents of archives elsewhere, and posts of earlier plans.

It is derived: what is missing or not as it was written is hashed again, and a post whose text changed counts as a
new one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ita_pipeline.cache.database import DATABASE_ERRORS, mark_of
from ita_pipeline.cache.index import QUERY_SIZE, Index
from ita_pipeline.sources.refs import Stamped
from stages.batching import batched


@dataclass(frozen=True, slots=True)
class PostNote:
    """A post at its place when it was last planned, as JSON, and the parts of it that had changed by then."""

    place: str
    key: str
    post: str
    before: str = ""
    changed: tuple[str, ...] = ()


class Manifest:
    """Files, archives and posts of earlier runs. Where nothing can be kept, it finds nothing. It is thread-safe."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.RLock()

    def get(self, paths: Sequence[bytes]) -> dict[bytes, Stamped]:
        """Find what is known of these files."""
        return {row[0]: Stamped(*row) for row in self._select("SELECT * FROM files WHERE path", paths)}

    def paths(self) -> list[bytes]:
        """Every file that was ever hashed, in order."""
        return sorted(row[0] for row in self._execute("SELECT * FROM files"))

    def paths_of(self, keys: Sequence[str]) -> dict[str, list[bytes]]:
        """Find the last known files of these contents."""
        paths: dict[str, list[bytes]] = defaultdict(list)
        for path, _, key, _ in self._select("SELECT * FROM files WHERE key", keys):
            paths[key].append(path)
        return paths

    def put(self, files: Iterable[Stamped]) -> None:
        """Remember files that were hashed."""
        self._replace("files", [(file.path, file.stamp, file.key, file.before) for file in files])

    def forget(self, paths: Iterable[bytes]) -> None:
        """Forget the stamps of files, so that they are hashed again."""
        self.put(replace(file, stamp="") for file in self.get(list(paths)).values())

    def archive(self, address: bytes, stamp: str) -> str | None:
        """The contents noted for an archive, if its stamp is still the same."""
        for _, known_stamp, contents in self._select("SELECT * FROM archives WHERE address", [address]):
            if known_stamp == stamp != "":
                return contents
        return None

    def note_archive(self, address: bytes, stamp: str, contents: str) -> None:
        """Note the contents of an archive."""
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

    def _select(self, query: str, values: Sequence[bytes] | Sequence[str]) -> Iterator[list[Any]]:
        """Select the rows that have one of these values in a column."""
        for batch in batched(values, QUERY_SIZE):
            marks = ", ".join("?" * len(batch))
            yield from self._execute(f"{query} IN ({marks})", batch)

    def _execute(self, query: str, values: Sequence[bytes | str] = ()) -> list[list[Any]]:
        """Select rows without their marks; those that are not as they were written are left out."""

        def select() -> list[sqlite3.Row]:
            return self._index.connection.execute(query, values).fetchall()

        with self._lock, suppress(*DATABASE_ERRORS):
            rows = self._index.attempt(select, use_memory=False)
            return [columns for *columns, mark in rows if mark == mark_of(columns)]
        return []

    def _replace(self, table: str, rows: Sequence[tuple[bytes | str, ...]]) -> None:
        def insert() -> None:
            with self._index.transaction() as connection:
                marks = ", ".join("?" * (len(rows[0]) + 1))
                marked = ((*row, mark_of(row)) for row in rows)
                connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", marked)

        if rows:
            with self._lock, suppress(*DATABASE_ERRORS):
                self._index.attempt(insert, use_memory=False)
