"""The index: where the record of each image is, and whether it is a value, so that only needed lines are read.

It is derived from the segments and brought up to date before every query. It never decides what a record contains:
that is read from its segment, and checked, every time.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from ita_pipeline.cache import database
from ita_pipeline.cache.database import (
    IS_SOUND,
    Database,
    RecordRow,
    State,
    from_column,
    has_only_grown,
    is_unchanged,
    mark_of,
    to_column,
)
from ita_pipeline.cache.lineage import find_equivalents, read_merges
from ita_pipeline.cache.records import parse_generation, read_lines
from ita_pipeline.core.files import SETTLED_SECONDS, file_stamp, wait_until_settled
from stages.batching import batched

INSERT_FOLDER = "INSERT INTO folders (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id"

INSERT_SEGMENT = """
INSERT INTO segments (folder, name) VALUES (?, ?) ON CONFLICT (folder, name) DO UPDATE SET name = name RETURNING id
"""

# Values per SQL statement.
QUERY_SIZE = 500

# Entries per query of all records of a key.
PAGE_SIZE = 10_000

# An index of up to this size is checked as a whole before anything counts as new.
CHECKED_BYTES = 64 * 1024 * 1024

MAX_ATTEMPTS = 5

P = ParamSpec("P")

Result = TypeVar("Result")

# The segments of a folder and their rows in the index, by name.
Paths = Mapping[str, Path]
Rows = Mapping[str, sqlite3.Row]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where an image's record is: `length` bytes from byte `start` of a segment."""

    image: str
    segment: Path
    start: int
    length: int
    state: State
    seconds: float


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged line of a file, or of an object at an address, and the image it was about, if that is readable."""

    segment: Path | str
    line: int
    image: str


@dataclass(frozen=True, slots=True)
class KeySummary:
    """The number of records under a key, and the mean seconds per value, or None where there is no value."""

    values: int
    failures: int
    seconds: float | None


def retry_after_merge(method: Callable[P, Result]) -> Callable[P, Result]:
    """Let a method start again where a segment vanishes while it reads: another process has merged it."""

    @functools.wraps(method)
    def retry(*args: P.args, **kwargs: P.kwargs) -> Result:
        for _ in range(MAX_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return method(*args, **kwargs)
        return method(*args, **kwargs)

    return retry


class Index(Database):
    """Answers queries from SQLite. One process at a time writes to the file; one that cannot works in memory.

    A segment that changed less than `settled_seconds` ago may change again without another time stamp.
    """

    def __init__(self, root: Path, settled_seconds: float = SETTLED_SECONDS) -> None:
        super().__init__(root)
        self.settled_seconds = settled_seconds
        self._selected: Sequence[str] = ()
        self._folders: dict[Path, None] = {}
        self._is_checked = False
        # If more bytes are new, all their records are sorted first, so that the table only grows at its end.
        self.bulk_bytes = 256 * 1024 * 1024

    def refresh(self, folder: Path) -> None:
        """Bring the rows of a key's folder up to date with its segments."""
        self._folders[folder] = None
        self.attempt(lambda: self._refresh(folder))

    def check(self) -> None:
        """Let SQLite check the table of records, once, before anything counts on a list of all records of a key."""

        def check() -> None:
            (answer,) = self.connection.execute("PRAGMA integrity_check(records)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError("its records are not in order")

        if not self._is_checked:
            self._is_checked = True
            self.attempt(check)

    def restore(self) -> None:
        """Implement `Database.restore`: select the images, and index all folders that were asked for."""
        self._insert_selected()
        for folder in self._folders:
            self._refresh(folder)

    def select(self, images: Sequence[str]) -> None:
        """Select the images that `find_unfinished` and `find_states` are about."""
        self._selected = images
        self.attempt(self._insert_selected)

    def _insert_selected(self) -> None:
        images = self._selected
        rows = ((to_column(images[position]), position) for position in database.table_order(images))
        self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (image PRIMARY KEY, number) WITHOUT ROWID")
        with self.connection as connection:
            connection.execute("BEGIN")
            connection.execute("DELETE FROM chosen")
            connection.executemany("INSERT OR IGNORE INTO chosen VALUES (?, ?)", rows)

    def find_unfinished(self, folder: Path) -> list[tuple[int, State | None]]:
        """The positions of the selected images that have no value under a key, each with its failure, if any."""
        unfinished = self._query_unfinished(folder)
        is_small = self.file.exists() and self.file.stat().st_size <= CHECKED_BYTES
        if is_small and not self._is_checked and any(state is None for _, state in unfinished):
            self.check()  # a record that is only lost from sight is not made again
            unfinished = self._query_unfinished(folder)
        return unfinished

    def _query_unfinished(self, folder: Path) -> list[tuple[int, State | None]]:
        def read(number: int, state: int | None) -> tuple[int, State | None]:
            return number, None if state is None else State(state)

        return self._query(
            folder,
            read,
            f"SELECT {IS_SOUND}, number, state FROM chosen LEFT JOIN records "
            "ON folder = ? AND records.image = chosen.image "
            f"WHERE state IS NULL OR state != 0 OR NOT {IS_SOUND} ORDER BY number",
        )

    def find_states(self, folder: Path) -> dict[int, State]:
        """The states of the selected images that have a record under a key, by position."""

        def read(number: int, state: int) -> tuple[int, State]:
            return number, State(state)

        return dict(
            self._query(
                folder,
                read,
                f"SELECT {IS_SOUND}, number, state FROM chosen JOIN records "
                "ON folder = ? AND records.image = chosen.image",
            )
        )

    def find_entries(self, folder: Path, images: Sequence[str] | None = None) -> Iterator[IndexEntry]:
        """Find the records of these images, or all of a key, segment by segment in the order written."""
        if images is None:
            yield from self._query_entries(folder, "ORDER BY segment, start")
            return
        for batch in batched(images, QUERY_SIZE):
            marks = ", ".join("?" * len(batch))
            order = f"AND image IN ({marks}) ORDER BY segment, start"
            yield from self._query_entries(folder, order, *map(to_column, batch))

    def find_next_entries(self, folder: Path, last: str = "") -> list[IndexEntry]:
        """Find the next records of a key by image: the order of the table, so that SQLite sorts nothing."""
        return self._query_entries(folder, f"AND image > ? ORDER BY image LIMIT {PAGE_SIZE}", to_column(last))

    def find_images_with_values(self, folder: Path) -> list[str]:
        """All images that have a value under a key."""
        query = f"SELECT {IS_SOUND}, image FROM records WHERE folder = ? AND state = 0"
        return self._query(folder, from_column, query)

    def count_lines(self, folder: Path) -> dict[str, tuple[int, int]]:
        """The number of current records, and of all lines, of each segment by name."""

        def read(name: str, lines: int | None, current: int | None) -> tuple[str, tuple[int, int]]:
            return str(name), (current or 0, lines or 0)

        return dict(
            self._query(
                folder,
                read,
                "SELECT true, name, lines, holding FROM segments LEFT JOIN "
                "(SELECT segment, COUNT(*) AS holding FROM records WHERE folder = ?1 GROUP BY segment) "
                "ON segment = id WHERE folder = ?1",
            )
        )

    def find_damage(self, folder: Path) -> tuple[Damage, ...]:
        """The damaged lines under a key."""
        query = "SELECT true, name, line, image FROM damage JOIN segments ON id = segment WHERE damage.folder = ?"

        def make(name: str, line: int, image: str) -> Damage:
            return Damage(folder / name, int(line), str(image))

        return tuple(self._query(folder, make, query))

    def summarize(self, folder: Path) -> KeySummary:
        """Count the records under a key."""
        (summary,) = self._query(
            folder,
            KeySummary,
            f"SELECT TOTAL(NOT {IS_SOUND}) = 0, COUNT(*) FILTER (WHERE state = 0), "
            "COUNT(*) FILTER (WHERE state != 0), AVG(seconds) FILTER (WHERE state = 0) FROM records "
            "WHERE folder = ?",
        )
        return summary

    def _query_entries(self, folder: Path, condition: str, *images: bytes | str) -> list[IndexEntry]:
        def make(image: bytes | str, name: str, start: int, length: int, state: int, seconds: float) -> IndexEntry:
            return IndexEntry(
                from_column(image), folder / name, int(start), int(length), State(state), float(seconds)
            )

        return self._query(
            folder,
            make,
            f"SELECT {IS_SOUND}, image, name, start, length, state, seconds FROM records LEFT JOIN segments "
            f"ON id = segment WHERE records.folder = ? {condition}",
            *images,
        )

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

    def _query(self, folder: Path, make: Callable[..., Result], query: str, *values: bytes | str) -> list[Result]:
        """Run a query whose first parameter is the id of a folder, and make something of each row.

        The first column of a row is whether it is as it was written; the others are passed to `make`.
        """

        def run() -> list[Result]:
            results: list[Result] = []
            for is_sound, *columns in self.connection.execute(query, [self._folder_id(folder), *values]):
                if not is_sound:
                    raise sqlite3.DatabaseError("a row is not as it was written")
                try:
                    results.append(make(*columns))
                except (TypeError, ValueError, AttributeError) as error:
                    raise sqlite3.DatabaseError("a row is not as it was written") from error
            return results

        return self.attempt(run)

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
