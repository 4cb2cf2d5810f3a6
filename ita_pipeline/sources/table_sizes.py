# pyarrow has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""What tables would take in memory, known before anything of them is decompressed.

The sizes in a table's metadata may be false. What a reader allocates for a page of Parquet is in the page's own
header, the struct `PageHeader` in Thrift's compact protocol (https://github.com/apache/parquet-format). The buffers
of an Arrow file are mapped into memory, unless they are compressed
(https://arrow.apache.org/docs/format/Columnar.html).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ita_pipeline.core.errors import UsageError
from ita_pipeline.sources.base import RandomAccessFile, open_buffered

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Data that is this large, and this many times larger than in the file, contains neither images nor posts.
_MIN_BOMB_BYTES, _MAX_EXPANSION = 64 << 20, 50

_MAX_PAGE_BYTES = 1 << 30

_HEADER_BYTES = (1 << 12, 1 << 16, 1 << 24)

_STOP, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 3, 7, 8, 9, 10, 11, 12

_UNCOMPRESSED_SIZE, _COMPRESSED_SIZE = 2, 3

_HINT = "it is damaged, or made to fill the memory: do not use it"


def check_metadata(metadata: pq.FileMetaData, group: int, label: str, column: str | None = None) -> None:
    """Refuse a row group that a few bytes expand to, by its metadata: in one column, or in all.

    Raises:
        UsageError: it expands to far more than it has in the file.
    """
    for name, chunk in _list_chunks(metadata, group, column):
        _check_size(chunk.total_uncompressed_size, chunk.total_compressed_size, label, name)


def check_pages(table: RandomAccessFile, metadata: pq.FileMetaData, group: int, column: str | None = None) -> None:
    """Refuse a row group that a few bytes expand to, by the headers of its pages: in one column, or in all.

    Raises:
        UsageError: a page expands to far more than it has in the file.
        OSError: the table cannot be read.
        ValueError: a header is damaged.
    """
    for name, chunk in _list_chunks(metadata, group, column):
        for page in _read_pages(table, chunk):
            _check_size(page.size, page.size_in_file, table.label, name)


def check_table(table: RandomAccessFile) -> None:
    """Refuse a Parquet file of which any part expands so.

    Raises:
        UsageError: see `check_metadata`.
        OSError, ValueError: see `check_pages`, or it is no Parquet file.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(open_buffered(table, 1 << 16)) as file:
        for group in range(file.metadata.num_row_groups):
            check_metadata(file.metadata, group, table.label)
            check_pages(table, file.metadata, group)


def _list_chunks(
    metadata: pq.FileMetaData, group: int, column: str | None
) -> Iterator[tuple[str, pq.ColumnChunkMetaData]]:
    for number in range(metadata.num_columns):
        chunk = metadata.row_group(group).column(number)
        name = chunk.path_in_schema.split(".")[0]
        if column in (None, name):
            yield name, chunk


def _check_size(size: int, size_in_file: int, label: str, column: str) -> None:
    if size > max(_MIN_BOMB_BYTES, _MAX_EXPANSION * size_in_file):
        problem = f"{label} expands to {size:,} bytes in its column {column}, as no pictures or posts do"
        raise UsageError(problem, _HINT)


@dataclass(frozen=True, slots=True)
class _Page:
    header_size: int
    size: int
    size_in_file: int


def _read_pages(table: RandomAccessFile, chunk: pq.ColumnChunkMetaData) -> list[_Page]:
    """Read the headers of a column chunk's pages, where readers look for them."""
    position, first = chunk.data_page_offset, chunk.dictionary_page_offset
    if chunk.has_dictionary_page and first and 0 < first < position:
        position = first
    end, pages = position + chunk.total_compressed_size, list[_Page]()
    while position < end:
        pages.append(_read_page(table, position))
        if max(pages[-1].size, pages[-1].size_in_file) > _MAX_PAGE_BYTES:
            raise UsageError(f"{table.label} has a page of {pages[-1].size:,} bytes", "write it with smaller pages")
        position += pages[-1].header_size + pages[-1].size_in_file
    return pages


def _read_page(table: RandomAccessFile, position: int) -> _Page:
    for size in _HEADER_BYTES:
        content = table.read_range(position, size)
        try:
            reader = _ThriftReader(content)
            fields = reader.read_struct()
        except IndexError:
            continue
        sizes = fields.get(_UNCOMPRESSED_SIZE, -1), fields.get(_COMPRESSED_SIZE, -1)
        if min(sizes) < 0:
            break
        return _Page(reader.position, *sizes)
    raise ValueError(f"at byte {position} of {table.label} is no header of a page")


class _ThriftReader:
    """Reads a struct of the compact protocol. What is not an integer is passed over."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def read_struct(self) -> dict[int, int]:
        """Return the integers of a struct by the numbers of their fields.

        Raises:
            IndexError: the content ends before the struct does.
            ValueError: it contains an unknown type.
        """
        fields, number = dict[int, int](), 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15)
        return fields

    def _value(self, kind: int) -> int:
        if kind in (1, 2):  # a field that is true or false has no content
            return kind
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (_BYTE, _DOUBLE):
            self._skip(1 if kind == _BYTE else 8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
                self._element(head & 15)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._element(kinds >> 4)
                self._element(kinds & 15)
        elif kind == _STRUCT:
            self.read_struct()
        else:
            raise ValueError(f"there is no type {kind}")
        return 0

    def _element(self, kind: int) -> None:
        self._value(_BYTE if kind in (1, 2) else kind)

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number has more than ten bytes")

    def _byte(self) -> int:
        self._skip(1)
        return self.content[self.position - 1]

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.content):
            raise IndexError(self.position)


def refuse_compressed(source: pa.NativeFile, label: str) -> None:
    """Refuse an Arrow file with compressed buffers, which the library `datasets` never writes.

    Raises:
        UsageError: a record batch is compressed.
    """
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(source):
        if _is_compressed(message.metadata.to_pybytes()):
            raise UsageError(f"{label} is compressed, which may hide any size", "save it with save_to_disk")


def _is_compressed(metadata: bytes) -> bool:
    """Whether the metadata of a message, a table of FlatBuffers, is that of a record batch with a compression."""
    dictionary, batch = 2, 3
    (message,) = struct.unpack_from("<I", metadata)
    kind, header = _find_field(metadata, message, 1), _follow(metadata, _find_field(metadata, message, 2))
    if not kind or metadata[kind] not in (dictionary, batch):
        return False
    if metadata[kind] == dictionary:
        header = _follow(metadata, _find_field(metadata, header, 1))
    return bool(_find_field(metadata, header, 3))


def _find_field(content: bytes, table: int, number: int) -> int:
    """Return the position of a field of a table, 0 if it is not there."""
    (back,) = struct.unpack_from("<i", content, table)
    (size,) = struct.unpack_from("<H", content, table - back)
    at = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", content, table - back + at) if at < size else (0,)
    return table + offset if offset else 0


def _follow(content: bytes, position: int) -> int:
    return position + struct.unpack_from("<I", content, position)[0]
