# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Image source: cells of Parquet and Arrow tables, read in batches so that a table is never in memory whole."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import join_inside
from ita_pipeline.core.remote import summarize_error
from ita_pipeline.sources.base import ContainedImage, RandomAccessFile, check_size, open_buffered, report_bad_item
from ita_pipeline.sources.columns import IMAGE_BYTES_COLUMNS
from ita_pipeline.sources.local import LocalFile, join_recorded
from ita_pipeline.sources.table_sizes import check_metadata, check_pages, refuse_compressed
from stages.base import BadItemError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


_ROWS_HELD, _BYTES_HELD, _COLUMNS_HELD = 64, 64 << 20, 8

_BUFFER_BYTES = 4 * 1024 * 1024

# Only rows without an image, or with that of another row, take less than a byte each.
_MAX_ROWS, _MAX_EMPTY_ROWS = 100_000_000, 1_000_000

_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Cell(ContainedImage):
    """The image in a table: row `row` of the row group `group`, which is the row `number` of the file.

    All rows of an Arrow file are one group. A cell holds bytes, or a struct of bytes and path as in `datasets`.
    """

    column: str
    group: int
    row: int
    number: int

    @property
    def label(self) -> str:
        """Implement `ImageSource.label`."""
        return f"{self.container.label}::{self.number}"

    @property
    def name(self) -> str:
        """Implement `ImageSource.name`."""
        return f"{PurePosixPath(self.container.name).stem}-{self.number}"

    def address(self, folder: str) -> bytes:
        """Implement `ImageSource.address`."""
        column = self.column.encode("utf-8", "surrogateescape")
        return b"cell:%b#%b/%d" % (self.container.address(folder), column, self.number)

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        with report_bad_item("cannot be read"):
            value = open_column(self.container, self.column, self.group, self.container_stamp).read(self.row)
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if content is None and isinstance(value, Mapping) and value.get("path"):
            return self._open_path(str(value["path"])).read(max_bytes)
        if not isinstance(content, bytes):
            raise BadItemError("there is no picture in this row")
        check_size(len(content), max_bytes)
        return content

    def _open_path(self, path: str) -> LocalFile:
        """Return the file that a cell names instead of its bytes.

        Raises:
            BadItemError: the path leads out of the folder of the table, or the table is not on this machine.
        """
        if isinstance(self.container, LocalFile):
            folder = self.container.path.parent
            find = join_recorded if _is_arrow(self.container.name) else join_inside
            file = find(folder, path)
            if file is not None:
                return LocalFile(file)
        raise BadItemError("the row contains only a path to a picture outside the table's folder")


class ParquetColumn:
    """One column of a row group, read forwards. The last rows are kept, since readers come in threads."""

    def __init__(self, table: RandomAccessFile, column: str, group: int) -> None:
        """Check the sizes of the pages.

        Raises:
            Exception: the table is damaged, or expands to a multiple of its size.
        """
        self._table, self._column, self._group = table, column, group
        self._lock = threading.Lock()
        self._held: deque[tuple[Any, int]] = deque()
        self._bytes_held = 0
        with _open_parquet(table) as file:
            check_pages(table, file.metadata, group, column)
        self._rows, self._next_row = self._read_rows(), 0

    def _read_rows(self) -> Iterator[tuple[Any, int]]:
        """Yield each row with its size. Each is read alone: a dictionary may repeat a large value."""
        with _open_parquet(self._table) as file:
            groups, columns = [self._group], [self._column]
            for batch in file.iter_batches(1, row_groups=groups, columns=columns, use_threads=False):
                yield batch.column(0), batch.nbytes

    def read(self, row: int) -> object:
        """Return the value of a row.

        Raises:
            OSError: the group has fewer rows, or is damaged before this one.
        """
        with self._lock:
            if row < self._next_row - len(self._held):
                self._held.clear()
                self._rows, self._next_row, self._bytes_held = self._read_rows(), 0, 0
            while row >= self._next_row:
                while self._held and (len(self._held) >= _ROWS_HELD or self._bytes_held > _BYTES_HELD):
                    self._bytes_held -= self._held.popleft()[1]
                found = next(self._rows, None)
                if found is None:
                    raise OSError("the table is damaged, or has fewer rows than it says")
                self._held.append(found)
                self._bytes_held += self._held[-1][1]
                self._next_row += 1
            return self._held[row - self._next_row][0][0].as_py()


class ArrowColumn:
    """One column of an Arrow file, mapped into memory."""

    def __init__(self, path: Path, column: str) -> None:
        self._values = map_arrow_file(path).column(column)

    def read(self, row: int) -> object:
        """Return the value of a row."""
        return self._values[row].as_py()


@functools.lru_cache(_COLUMNS_HELD)
def open_column(table: RandomAccessFile, column: str, group: int, stamp: str) -> ParquetColumn | ArrowColumn:
    """Open a column of a row group. Open columns are shared, as long as the stamp of the table is the same."""
    if isinstance(table, LocalFile) and _is_arrow(table.name):
        return ArrowColumn(table.path, column)
    return ParquetColumn(table, column, group)


def is_table(name: str) -> bool:
    """Whether a file name is that of a Parquet table."""
    return name.lower().endswith(".parquet")


def _is_arrow(name: str) -> bool:
    return name.lower().endswith(".arrow")


def _open_parquet(table: RandomAccessFile) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    file = table.path if isinstance(table, LocalFile) else open_buffered(table, _BUFFER_BYTES)
    return pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def map_arrow_file(path: Path) -> pa.Table:
    """Map an Arrow file into memory, and check it, since a damaged offset would lead out of the file.

    Raises:
        UsageError: the file is damaged, compressed, or no Arrow file.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            refuse_compressed(source, str(path))
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
        table.validate(full=True)
    except UsageError:
        raise
    except Exception as error:  # readers raise anything on damaged data
        problem = f"{path} is no Arrow file, or damaged: {summarize_error(error)}"
        raise UsageError(problem, "fetch the dataset again, or save it again with save_to_disk") from error
    return table


def list_table_cells(table: RandomAccessFile, stamp: str) -> Iterator[Cell]:
    """Yield the cells of the image column of a Parquet file, in order.

    Raises:
        UsageError: the file is not a Parquet file, or has no such column.
        OSError: the file cannot be read.
    """
    if not stamp:
        open_column.cache_clear()  # the table may have changed without another stamp
    magic = table.read_range(0, len(_MAGIC))
    try:
        if magic != _MAGIC:
            raise ValueError("it does not begin with PAR1")
        file = _open_parquet(table)
    except Exception as error:  # readers raise anything on damaged data
        problem = f"{table.label} is not a Parquet file, or is damaged"
        raise UsageError(problem, "download or write it again") from error
    with file:
        column = find_image_column(file.schema_arrow, table.label)
        metadata = file.metadata
        for group in range(metadata.num_row_groups):
            check_metadata(metadata, group, table.label, column)
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    max_rows = min(_MAX_ROWS, _MAX_EMPTY_ROWS + table.size())
    if not all(0 <= size <= max_rows for size in sizes) or sum(sizes) > max_rows:
        problem = f"{table.label} says that it has {sum(sizes):,} rows, more than the {max_rows:,} of its size"
        raise UsageError(problem, "divide it into several")
    numbers = itertools.count()
    for group, size in enumerate(sizes):
        for row in range(size):
            yield Cell(table, stamp, column, group, row, next(numbers))


def list_dataset_cells(splits: Mapping[str, Any]) -> list[Cell]:
    """List the cells of the image column of datasets that the library keeps in Arrow files.

    Raises:
        UsageError: a dataset has no such column, or is not in files.
    """
    cells: list[Cell] = []
    for split, rows in splits.items():
        files: Sequence[Mapping[str, str]] = rows.cache_files
        column = find_image_column(rows.features.arrow_schema, f"the split {split}")
        first = len(cells)
        for file in files:
            table = LocalFile(Path(file["filename"]))
            stamp = table.current_stamp()
            if not stamp:
                open_column.cache_clear()
            cells += [Cell(table, stamp, column, 0, row, row) for row in range(len(map_arrow_file(table.path)))]
        if len(cells) - first != len(rows):
            raise UsageError(f"the split {split} is not as save_to_disk wrote it", "save it: save_to_disk")
    return cells


def find_image_column(schema: pa.Schema, label: str) -> str:
    """Find the column that `datasets` has marked as images, else one by its name, else the only one of bytes.

    Raises:
        UsageError: the table has no such column, or several unknown ones.
    """
    candidates = [field.name for field in schema if _holds_bytes(field.type)]
    marked = [name for name in _list_marked_columns(schema.metadata or {}) if name in candidates]
    known = [name for name in IMAGE_BYTES_COLUMNS if name in candidates]
    for names in (marked, known, candidates if len(candidates) == 1 else []):
        if names:
            return names[0]
    first, known_names = IMAGE_BYTES_COLUMNS[0], ", ".join(IMAGE_BYTES_COLUMNS)
    hint = f"a column of bytes called {first}, as the library datasets writes it; known are {known_names}"
    raise UsageError(f"{label} has no column of pictures: its columns are {', '.join(schema.names)}", hint)


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in fields)
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _list_marked_columns(metadata: Mapping[bytes, bytes]) -> list[str]:
    """List the columns of the type Image in the metadata of the library `datasets`."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return [name for name, kind in features.items() if isinstance(kind, dict) and kind.get("_type") == "Image"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return []
