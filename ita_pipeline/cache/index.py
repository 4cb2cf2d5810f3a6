"""The index: where each record lies and whether it is a value, so that nothing is read that is not needed.

It is derived from the segments and brought up to date before every question. It never decides what a record says:
that is read from its segment, and checked, every time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.database import (
    ALL,
    ENROL,
    ENTER,
    GATHER,
    ONE,
    REMEMBER,
    Database,
    State,
    numbers,
    prepared,
    row_of,
    sortable,
    stored,
)
from ita_pipeline.cache.lineage import equivalents, read_merges
from ita_pipeline.cache.records import generation, scan
from ita_pipeline.core.files import file_stamp, wait_until_settled
from ita_pipeline.core.iteration import batched

AT_ONCE = 500

# Segments that vanish while they are looked at were brought together by somebody else; then it is looked again.
LOOKS = 5

# New records go in by so many, in the table's order: keys are random, and each would touch a page of its own.
# That is a whole segment, as a rule.
SORTED_AT_ONCE = 400_000

# Where more bytes of segments are new than that, all their records are sorted first: however many there are, the
# table then grows at its end only.
MANY_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an image's record lies: `length` bytes from `start` of a segment."""

    image: str
    segment: Path
    start: int
    length: int
    state: State
    seconds: float


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is not what was written there, and the image it spoke of, where that can still be read.

    `segment` is a file, or the address of an object.
    """

    segment: Path | str
    line: int
    image: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How much lies under a key; `seconds` is the mean a value, or nothing where there is none."""

    values: int
    failures: int
    seconds: float | None


class Index(Database):
    """Answers from SQLite. One process at a time writes to the file; one that cannot works in memory."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.chosen: Sequence[str] = ()
        self.gathering = False

    def refresh(self, folder: Path) -> None:
        """Bring what is known of a key's folder up to date with its segments."""
        try:
            self.look(folder)
        except sqlite3.DatabaseError:
            # Whatever is the matter with the file, it holds nothing that cannot be found anew.
            self.use(prepared(":memory:"))
            self.choose(self.chosen)
            self.look(folder)

    def look(self, folder: Path) -> None:
        for _ in range(LOOKS - 1):
            with suppress(FileNotFoundError):
                return self.follow(folder)
        return self.follow(folder)

    def follow(self, folder: Path) -> None:
        number = self.number_of(folder)
        there = {path.name: path for path in sorted(folder.glob("*.jsonl"))}
        if self.up_to_date(number, there):
            return
        with self.writing() as database:
            (number,) = database.execute(ENTER, [self.name_of(folder)]).fetchone()
            known = self.known_segments(number)
            gone = {part: row["id"] for part, row in known.items() if part not in there}
            whole = all(grown(row, there[part]) for part, row in known.items() if part in there)
            if not whole or (gone and not self.moved(folder, number, there, known, gone)):
                self.forget(number)
                self.take_up(number, there, {})
            elif not gone:
                self.take_up(number, there, known)

    def moved(
        self,
        folder: Path,
        number: int,
        there: Mapping[str, Path],
        known: Mapping[str, sqlite3.Row],
        gone: Mapping[str, int],
    ) -> bool:
        """Take up what segments that are gone were brought together in; whether all that they held is there.

        Reading everything anew would cost as much as all records of the key.
        """
        if not gone.keys() <= equivalents(there, read_merges(folder)):
            return False
        self.take_up(number, there, known, list(gone.values()))
        ids = ", ".join(map(str, gone.values()))
        left = f"SELECT 1 FROM records WHERE folder = ? AND segment IN ({ids}) LIMIT 1"
        if self.database.execute(left, [number]).fetchone():
            return False
        self.database.execute(f"DELETE FROM damage WHERE segment IN ({ids})")
        self.database.execute(f"DELETE FROM segments WHERE id IN ({ids})")
        return True

    def forget(self, folder: int) -> None:
        for table in ("records", "damage", "segments"):
            self.database.execute(f"DELETE FROM {table} WHERE folder = ?", [folder])

    def take_up(
        self,
        folder: int,
        there: Mapping[str, Path],
        known: Mapping[str, sqlite3.Row],
        gone: Sequence[int] = (),
    ) -> None:
        new = {name: path for name, path in there.items() if name not in known or not same(known[name], path)}
        read = sum(known[name]["read"] for name in new if name in known)
        many = sum(path.stat().st_size for path in new.values()) - read > MANY_BYTES
        with self.gathered(gone) if many else nullcontext():
            for name, path in new.items():
                self.read(folder, path, known.get(name), gone)

    @contextmanager
    def gathered(self, gone: Sequence[int]) -> Iterator[None]:
        """Records that are remembered meanwhile go into the table together at the end, sorted on the disk."""
        self.database.execute("CREATE TEMP TABLE incoming AS SELECT * FROM records WHERE false")
        self.gathering = True
        try:
            yield
            self.database.execute(REMEMBER.format(rows=ALL, gone=numbers(gone)))
        finally:
            self.gathering = False
            self.database.execute("DROP TABLE incoming")

    def up_to_date(self, folder: int, there: Mapping[str, Path]) -> bool:
        known = self.known_segments(folder)
        return known.keys() == there.keys() and all(same(row, there[name]) for name, row in known.items())

    def known_segments(self, folder: int) -> dict[str, sqlite3.Row]:
        rows = self.database.execute("SELECT * FROM segments WHERE folder = ?", [folder])
        return {row["name"]: row for row in rows}

    def read(self, folder: int, path: Path, known: sqlite3.Row | None, gone: Sequence[int] = ()) -> None:
        """Take up the lines of a segment that were not read yet; they take the place of those of segments gone."""
        start, number = (known["read"], known["lines"]) if known else (0, 0)
        (segment,) = self.database.execute(ENROL, [folder, path.name]).fetchone()
        rank = generation(path)
        settled, status = wait_until_settled(path)
        with path.open("rb") as opened:
            rows: list[tuple[Any, ...]] = []
            for line in scan(opened, start, number):
                start, number = line.end, line.number
                if not line.good:
                    bad = (folder, segment, line.number, line.image)
                    self.database.execute("INSERT INTO damage VALUES (?, ?, ?, ?)", bad)
                    continue
                rows.append(row_of(folder, segment, rank, line))
                if len(rows) == SORTED_AT_ONCE:
                    self.remember(rows, gone)
                    rows.clear()
            self.remember(rows, gone)
        self.database.execute(
            "UPDATE segments SET inode = ?, size = ?, stamp = ?, settled = ?, read = ?, lines = ? WHERE id = ?",
            [status.st_ino, status.st_size, file_stamp(status), settled, start, number, segment],
        )

    def remember(self, rows: list[tuple[Any, ...]], gone: Sequence[int] = ()) -> None:
        if self.gathering:
            self.database.executemany(GATHER, rows)
            return
        rows.sort(key=lambda row: sortable(row[1]))
        self.database.executemany(REMEMBER.format(rows=ONE, gone=numbers(gone)), rows)

    def name_of(self, folder: Path) -> str:
        return str(folder.relative_to(self.root))

    def number_of(self, folder: Path) -> int:
        """What stands for a folder in every row; 0, which is none, before anything was read from it."""
        row = self.database.execute("SELECT id FROM folders WHERE name = ?", [self.name_of(folder)]).fetchone()
        return row[0] if row else 0

    def choose(self, images: Sequence[str]) -> None:
        """Name the images that `unfinished`, `entries` and `known` are then asked about."""
        self.chosen = images
        rows = ((stored(images[number]), number) for number in nearly_sorted(images))
        self.database.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (image PRIMARY KEY, number) WITHOUT ROWID")
        self.database.execute("BEGIN")
        self.database.execute("DELETE FROM chosen")
        self.database.executemany("INSERT OR IGNORE INTO chosen VALUES (?, ?)", rows)
        self.database.execute("COMMIT")

    def unfinished(self, folder: Path) -> list[tuple[int, State | None]]:
        """Those of the chosen images that have no value under a key, by position, with their failure if any."""
        rows = self.database.execute(
            "SELECT number, state FROM chosen LEFT JOIN records ON folder = ? AND records.image = chosen.image "
            "WHERE state IS NULL OR state != 0 ORDER BY number",
            [self.number_of(folder)],
        )
        return [(number, None if state is None else State(state)) for number, state in rows]

    def known(self, folder: Path) -> dict[int, State]:
        """Those of the chosen images that have a record under a key, by position."""
        rows = self.database.execute(
            "SELECT number, state FROM chosen JOIN records ON folder = ? AND records.image = chosen.image",
            [self.number_of(folder)],
        )
        return {number: State(state) for number, state in rows}

    def entries(self, folder: Path, images: Sequence[str] | None = None) -> Iterator[Entry]:
        """Where the records of these images lie, or all of a key's, segment by segment in the order written."""
        if images is None:
            yield from self.found(folder, "", [])
            return
        for some in batched(images, AT_ONCE):
            marks = ", ".join("?" * len(some))
            yield from self.found(folder, f"AND image IN ({marks})", [stored(image) for image in some])

    def found(self, folder: Path, condition: str, values: list[bytes | str]) -> Iterator[Entry]:
        rows = self.database.execute(
            "SELECT image, name, start, length, state, seconds FROM records JOIN segments ON id = segment "
            f"WHERE records.folder = ? {condition} ORDER BY segment, start",
            [self.number_of(folder), *values],
        )
        for image, name, start, length, state, seconds in rows:
            key = image.hex() if isinstance(image, bytes) else image
            yield Entry(key, folder / name, start, length, State(state), seconds)

    def sorted_entries(self, folder: Path) -> Iterator[Entry]:
        """Where all records of a key lie, by image: the order of the table, so that nothing is sorted."""
        names = {row["id"]: folder / name for name, row in self.known_segments(self.number_of(folder)).items()}
        rows = self.database.execute(
            "SELECT image, segment, start, length, state, seconds FROM records WHERE folder = ? ORDER BY image",
            [self.number_of(folder)],
        )
        for image, segment, start, length, state, seconds in rows:
            key = image.hex() if isinstance(image, bytes) else image
            yield Entry(key, names[segment], start, length, State(state), seconds)

    def valued(self, folder: Path) -> list[str]:
        """All images that have a value under a key."""
        rows = self.database.execute(
            "SELECT image FROM records WHERE folder = ? AND state = 0", [self.number_of(folder)]
        )
        return [image.hex() if isinstance(image, bytes) else image for (image,) in rows]

    def living(self, folder: Path) -> dict[str, tuple[int, int]]:
        """Of each segment by name, how many of its records hold, and how many lines it has."""
        rows = self.database.execute(
            "SELECT name, lines, holding FROM segments LEFT JOIN (SELECT segment, COUNT(*) AS holding FROM records "
            "WHERE folder = ?1 GROUP BY segment) ON segment = id WHERE folder = ?1",
            [self.number_of(folder)],
        )
        return {name: (holding or 0, lines or 0) for name, lines, holding in rows}

    def damage(self, folder: Path) -> tuple[Damage, ...]:
        rows = self.database.execute(
            "SELECT name, line, image FROM damage JOIN segments ON id = segment WHERE damage.folder = ?",
            [self.number_of(folder)],
        )
        return tuple(Damage(folder / name, line, image) for name, line, image in rows)

    def summary(self, folder: Path) -> Summary:
        values, failures, seconds = self.database.execute(
            "SELECT COUNT(*) FILTER (WHERE state = 0), COUNT(*) FILTER (WHERE state != 0), "
            "AVG(seconds) FILTER (WHERE state = 0) FROM records WHERE folder = ?",
            [self.number_of(folder)],
        ).fetchone()
        return Summary(values, failures, seconds)


def nearly_sorted(images: Sequence[str]) -> Iterable[int]:
    """Positions in the order of the table, as far as the first eight bytes tell: of keys that are random, that is
    all. A list of ten million rows would take more memory than the images.
    """
    heads = (int.from_bytes(sortable(stored(image))[:8].ljust(8, b"\0"), "big") for image in images)
    if len(images) <= SORTED_AT_ONCE:
        return (number for _, number in sorted(zip(heads, range(len(images)), strict=True)))
    import numpy as np

    order = np.argsort(np.fromiter(heads, np.uint64, len(images)), kind="stable")
    return map(int, order)


def same(row: sqlite3.Row, path: Path) -> bool:
    return bool(row["settled"]) and row["stamp"] == file_stamp(path.stat())


def grown(row: sqlite3.Row, path: Path) -> bool:
    """Whether a segment is as it was, or has only been appended to since."""
    status = path.stat()
    return same(row, path) or (status.st_ino == row["inode"] and status.st_size > row["size"])
