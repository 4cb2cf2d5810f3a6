"""Pictures in columns of Parquet and Arrow tables, cell by cell, so that a table is never in memory as a whole."""

from __future__ import annotations

import functools
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.remote import summarize_error
from ita_pipeline.sources.base import File, Looked, check_size, looked, opened
from ita_pipeline.sources.local import LocalFile
from stages.base import BadItemError, FailureKind

if TYPE_CHECKING:
    import pyarrow as pa


COLUMNS = ("image", "img", "picture", "jpg", "png", "webp", "bytes", "content", "data")

ROWS_AT_ONCE, BATCHES_HELD, GROUPS_HELD = 16, 4, 8

BUFFERED = 4 * 1024 * 1024

MOST_ROWS = 100_000_000

MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Cell:
    """The picture in a row of a table: row `row` of the row group `group`, the `number`th of the file.

    Of an Arrow file all rows are one group. A cell holds bytes, or as `datasets` has it a struct of bytes and path.
    """

    table: File
    column: str
    group: int
    row: int
    number: int
    table_stamp: str

    @property
    def label(self) -> str:
        return f"{self.table.label}::{self.number}"

    @property
    def name(self) -> str:
        return f"{PurePosixPath(self.table.name).stem}-{self.number}"

    @property
    def far(self) -> bool:
        return self.table.far

    def address(self, here: str) -> bytes:
        column = self.column.encode("utf-8", "surrogateescape")
        return b"cell:%b#%b/%d" % (self.table.address(here), column, self.number)

    def stamp(self) -> str:
        return self.table_stamp

    def look(self, most: int, known: str) -> Looked:
        found = looked(self.table_stamp, self.read(most))
        return found if self.far else Looked(found.stamp, found.key)

    def read(self, most: int) -> bytes:
        try:
            cell = rows_of(self.table, self.column, self.group, self.table_stamp).cell(self.row)
        except Exception as error:  # readers raise nearly anything on damaged data
            raise BadItemError(f"cannot be read: {summarize_error(error)}", FailureKind.TRANSIENT) from error
        content = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if content is None and isinstance(cell, Mapping) and cell.get("path"):
            return self.beside(str(cell["path"])).read(most)
        if not isinstance(content, bytes):
            raise BadItemError("there is no picture in this row")
        check_size(len(content), most)
        return content

    def beside(self, path: str) -> LocalFile:
        """The file that a cell names instead of holding it. One that `datasets` has noted lies anywhere; one that a
        Parquet file names lies beside it.

        Raises:
            BadItemError: it is not on this machine, or lies elsewhere.
        """
        if isinstance(self.table, LocalFile) and "\0" not in path:
            folder = self.table.path.parent
            file = folder / path
            if is_arrow(self.table.name) or file.resolve().is_relative_to(folder.resolve()):
                return LocalFile(file)
        raise BadItemError("the row holds no picture, only a path that leads elsewhere")


class Rows:
    """One column of a row group, read forwards; the last batches are remembered, since readers come in threads."""

    def __init__(self, table: File, column: str, group: int) -> None:
        self.table, self.column, self.group = table, column, group
        self.lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        self.batches = batches_of(self.table, self.column, self.group)
        self.held: deque[tuple[int, Any]] = deque(maxlen=BATCHES_HELD)
        self.next = 0

    def cell(self, row: int) -> Any:
        """
        Raises:
            StopIteration: there are not so many rows.
        """
        with self.lock:
            if row < (self.held[0][0] if self.held else self.next):
                self.restart()
            while row >= self.next:
                batch = next(self.batches)
                self.held.append((self.next, batch))
                self.next += len(batch)
            start, batch = next(one for one in reversed(self.held) if one[0] <= row)
            return batch[row - start].as_py()


@functools.lru_cache(GROUPS_HELD)
def rows_of(table: File, column: str, group: int, stamp: str) -> Rows | Mapped:
    return (
        Mapped(table.path, column)
        if isinstance(table, LocalFile) and is_arrow(table.name)
        else Rows(table, column, group)
    )


def batches_of(table: File, column: str, group: int) -> Iterator[Any]:
    with parquet(table) as found:
        for batch in found.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column], use_threads=False):
            yield batch.column(0)


def parquet(table: File) -> Any:
    import pyarrow.parquet as pq

    source = table.path if isinstance(table, LocalFile) else opened(table, BUFFERED)
    return pq.ParquetFile(source, buffer_size=BUFFERED, pre_buffer=False)


def cells(table: File, stamp: str) -> Iterator[Cell]:
    """The cells of the column of pictures of a Parquet file, in order.

    Raises:
        UsageError: it is no such file, or has no such column.
        OSError: it cannot be read.
    """
    if not stamp:
        rows_of.cache_clear()  # it may be another than before, and nothing would show it
    magic = table.part(0, len(MAGIC))
    try:
        if magic != MAGIC:
            raise ValueError("it does not begin like one")
        found = parquet(table)
    except Exception as error:  # readers raise nearly anything on damaged data
        raise UsageError(
            f"{table.label} is no Parquet file, or damaged: {summarize_error(error)}", "fetch or write it anew"
        ) from error
    with found:
        column = picture_column(found.schema_arrow, table.label)
        metadata = found.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if not all(0 <= size <= MOST_ROWS for size in sizes) or sum(sizes) > MOST_ROWS:
        raise UsageError(f"{table.label} says that it has more than {MOST_ROWS:,} rows", "divide it into several")
    number = 0
    for group, size in enumerate(sizes):
        for row in range(size):
            yield Cell(table, column, group, row, number + row, stamp)
        number += size


def picture_column(schema: pa.Schema, label: str) -> str:
    """The column that `datasets` has noted to be pictures, else one by its name, else the only one of bytes.

    Raises:
        UsageError: there is none, or nothing tells which it is.
    """
    able = [field.name for field in schema if holds_bytes(field.type)]
    noted = [name for name in noted_pictures(schema.metadata or {}) if name in able]
    named = [name for name in COLUMNS if name in able]
    for names in (noted, named, able if len(able) == 1 else []):
        if names:
            return names[0]
    hint = (
        f"a column of bytes called {COLUMNS[0]}, as the library datasets writes it; known are {', '.join(COLUMNS)}"
    )
    raise UsageError(f"{label} has no column of pictures: its columns are {', '.join(schema.names)}", hint)


def holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(
            kind.field(i).name == "bytes" and holds_bytes(kind.field(i).type) for i in range(kind.num_fields)
        )
    return types.is_binary(kind) or types.is_large_binary(kind)


def noted_pictures(metadata: Mapping[bytes, bytes]) -> list[str]:
    """Columns of the type Image, by what the library `datasets` has written into the table."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return [name for name, kind in features.items() if isinstance(kind, dict) and kind.get("_type") == "Image"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []


class Mapped:
    """A column of an Arrow file, mapped into memory rather than read."""

    def __init__(self, path: Path, column: str) -> None:
        self.cells = mapped(path).column(column)

    def cell(self, row: int) -> Any:
        return self.cells[row].as_py()


def mapped(path: Path) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


def dataset_cells(splits: Mapping[str, Any]) -> list[Cell]:
    """The cells of the column of pictures of datasets that lie in Arrow files, as the library leaves them.

    Raises:
        UsageError: there is no such column, or a dataset does not lie in files.
    """
    found: list[Cell] = []
    for split, rows in splits.items():
        files: Sequence[Mapping[str, str]] = rows.cache_files
        column = picture_column(rows.features.arrow_schema, f"the split {split}")
        before = len(found)
        for file in files:
            table = LocalFile(Path(file["filename"]))
            stamp = table.standing()
            if not stamp:
                rows_of.cache_clear()
            length = len(mapped(table.path))
            found += [Cell(table, column, 0, row, row, stamp) for row in range(length)]
        if len(found) - before != len(rows):
            raise UsageError(f"the split {split} is no dataset as it was saved", "save it: save_to_disk")
    return found


def is_table(name: str) -> bool:
    return name.lower().endswith(".parquet")


def is_arrow(name: str) -> bool:
    return name.lower().endswith(".arrow")
