"""The index: where the record of each image is, and whether it is a value, so that only needed lines are read.

It is derived from the segments and brought up to date before every query. It never decides what a record contains:
that is read from its segment, and checked, every time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ita_pipeline.cache import database
from ita_pipeline.cache.database import IS_SOUND, State, from_column, to_column
from ita_pipeline.cache.indexing import SegmentIndexer
from ita_pipeline.core.files import SETTLED_SECONDS
from stages.batching import batched

# Values per SQL statement.
QUERY_SIZE = 500

# Entries per query of all records of a key.
PAGE_SIZE = 10_000

# An index of up to this size is checked as a whole before anything counts as new.
CHECKED_BYTES = 64 * 1024 * 1024

Result = TypeVar("Result")


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


class Index(SegmentIndexer):
    """Answers queries about the records of the folders that were brought up to date."""

    def __init__(self, root: Path, settled_seconds: float = SETTLED_SECONDS) -> None:
        super().__init__(root, settled_seconds)
        self._selected: Sequence[str] = ()
        self._is_checked = False

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
        super().restore()

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
