"""Indexing: the rows of records are derived from the segments of a key's folder, as these grow, merge or vanish.

What is already indexed is not read again, so bringing an index up to date costs only what is new.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from ita_pipeline.cache import database
from ita_pipeline.cache.database import Database, RecordRow, has_only_grown, is_unchanged, mark_of
from ita_pipeline.cache.lineage import find_equivalents, read_merges
from ita_pipeline.cache.records import parse_generation, read_lines
from ita_pipeline.core.files import SETTLED_SECONDS, file_stamp, wait_until_settled

INSERT_FOLDER = "INSERT INTO folders (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id"

INSERT_SEGMENT = """
INSERT INTO segments (folder, name) VALUES (?, ?) ON CONFLICT (folder, name) DO UPDATE SET name = name RETURNING id
"""

MAX_ATTEMPTS = 5

P = ParamSpec("P")

Result = TypeVar("Result")

# The segments of a folder and their rows in the index, by name.
Paths = Mapping[str, Path]
Rows = Mapping[str, sqlite3.Row]


def retry_after_merge(method: Callable[P, Result]) -> Callable[P, Result]:
    """Let a method start again where a segment vanishes while it reads: another process has merged it."""

    @functools.wraps(method)
    def retry(*args: P.args, **kwargs: P.kwargs) -> Result:
        for _ in range(MAX_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return method(*args, **kwargs)
        return method(*args, **kwargs)

    return retry


class SegmentIndexer(Database):
    """Keeps the rows of folders up to date. One process at a time writes to the file; one that cannot uses memory.

    A segment that changed less than `settled_seconds` ago may change again without another time stamp.
    """

    def __init__(self, root: Path, settled_seconds: float = SETTLED_SECONDS) -> None:
        super().__init__(root)
        self.settled_seconds = settled_seconds
        self._folders: dict[Path, None] = {}
        # If more bytes are new, all their records are sorted first, so that the table only grows at its end.
        self.bulk_bytes = 256 * 1024 * 1024

    def refresh(self, folder: Path) -> None:
        """Bring the rows of a key's folder up to date with its segments."""
        self._folders[folder] = None
        self.attempt(lambda: self._refresh(folder))

    def restore(self) -> None:
        """Implement `Database.restore`: index all folders that were asked for."""
        for folder in self._folders:
            self._refresh(folder)

    @retry_after_merge
    def _refresh(self, folder: Path) -> None:
        folder_id = self._folder_id(folder)
        paths = {path.name: path for path in sorted(folder.glob("*.jsonl"))}
        rows = self._read_segments(folder_id)
        if rows.keys() == paths.keys() and all(is_unchanged(row, paths[name]) for name, row in rows.items()):
            return
        with self.transaction() as connection:
            (folder_id,) = connection.execute(INSERT_FOLDER, [str(folder.relative_to(self.root))]).fetchone()
            rows = self._read_segments(folder_id)
            removed = rows.keys() - paths.keys()
            only_grown = all(has_only_grown(row, paths[name]) for name, row in rows.items() if name in paths)
            if not only_grown or (removed and not self._follow_merges(folder, folder_id, paths, rows, removed)):
                for table in ("records", "damage", "segments"):
                    connection.execute(f"DELETE FROM {table} WHERE folder = ?", [folder_id])
                self._index_segments(folder_id, paths, {})
            elif not removed:
                self._index_segments(folder_id, paths, rows)

    def _follow_merges(self, folder: Path, folder_id: int, paths: Paths, rows: Rows, removed: set[str]) -> bool:
        """Index the segments that removed ones were merged into; whether they contain all records of those.

        Deriving everything again would cost as much as all records of the key.
        """
        if not removed <= find_equivalents(paths, read_merges(folder)):
            return False
        removed_ids = [rows[name]["id"] for name in removed]
        self._index_segments(folder_id, paths, rows, removed_ids)
        ids = database.join_ids(removed_ids)
        remaining = f"SELECT 1 FROM records WHERE folder = ? AND segment IN ({ids}) LIMIT 1"
        if self.connection.execute(remaining, [folder_id]).fetchone():
            return False
        self.connection.execute(f"DELETE FROM damage WHERE segment IN ({ids})")
        self.connection.execute(f"DELETE FROM segments WHERE id IN ({ids})")
        return True

    def _index_segments(self, folder_id: int, paths: Paths, rows: Rows, removed: Sequence[int] = ()) -> None:
        """Index all lines of a folder that are new. Their records replace those of removed segments."""
        changed = [p for name, p in paths.items() if name not in rows or not is_unchanged(rows[name], p)]
        read_bytes = sum(rows[path.name]["read"] for path in changed if path.name in rows)
        is_bulk = sum(path.stat().st_size for path in changed) - read_bytes > self.bulk_bytes
        with self.open_inserter(removed, is_bulk) as insert:
            for path in changed:
                self._index_segment(folder_id, path, rows.get(path.name), insert)

    def _index_segment(
        self, folder_id: int, path: Path, row: sqlite3.Row | None, insert: Callable[[list[RecordRow]], None]
    ) -> None:
        start, number = (row["read"], row["lines"]) if row else (0, 0)
        (segment_id,) = self.connection.execute(INSERT_SEGMENT, [folder_id, path.name]).fetchone()
        generation = parse_generation(path.name)
        is_settled, status = wait_until_settled(path, self.settled_seconds)
        with path.open("rb") as segment:
            records: list[RecordRow] = []
            for line in read_lines(segment, start, number):
                start, number = line.end, line.number
                header = line.header
                if header is None:
                    damage = (folder_id, segment_id, line.number, line.image)
                    self.connection.execute("INSERT INTO damage VALUES (?, ?, ?, ?)", damage)
                    continue
                records.append(database.to_row(folder_id, segment_id, generation, line, header))
                if len(records) == database.INSERT_SIZE:
                    insert(records)
                    records.clear()
            insert(records)
        state = [status.st_ino, status.st_size, file_stamp(status), int(is_settled), start, number]
        self.connection.execute(
            "UPDATE segments SET inode = ?, size = ?, stamp = ?, settled = ?, read = ?, lines = ?, mark = ? "
            "WHERE id = ?",
            [*state, mark_of([segment_id, folder_id, path.name, *state]), segment_id],
        )

    def _read_segments(self, folder_id: int) -> dict[str, sqlite3.Row]:
        """The rows of the segments of a folder by name.

        Raises:
            sqlite3.DatabaseError: one is not as it was written.
        """
        columns = "id, folder, name, inode, size, stamp, settled, read, lines, mark"
        rows = self.connection.execute(f"SELECT {columns} FROM segments WHERE folder = ?", [folder_id]).fetchall()
        if any(row["mark"] != mark_of(tuple(row)[:-1]) for row in rows):
            raise sqlite3.DatabaseError("the row of a segment is not as it was written")
        return {row["name"]: row for row in rows}

    def _folder_id(self, folder: Path) -> int:
        """The id of a folder in all tables, or 0, which no folder has, where nothing of it is indexed yet."""
        query = "SELECT id FROM folders WHERE name = ?"
        row = self.connection.execute(query, [str(folder.relative_to(self.root))]).fetchone()
        return row[0] if row else 0
