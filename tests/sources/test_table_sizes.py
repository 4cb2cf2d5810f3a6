"""Sizes of tables: those in the headers of pages, and tables whose sizes are false or hidden."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.parquet import list_table_cells, map_arrow_file
from ita_pipeline.sources.table_sizes import _read_pages, check_table
from stages.base import BadItemError
from tests.support.fakes import ita_here

FILE = LocalFile(Path("a.parquet"))

OPTIONS = {
    "compression": st.sampled_from(["none", "snappy", "gzip", "zstd"]),
    "use_dictionary": st.booleans(),
    "data_page_version": st.sampled_from(["1.0", "2.0"]),
    "write_page_checksum": st.booleans(),
    "write_statistics": st.booleans(),
    "data_page_size": st.sampled_from([100, 10_000]),
}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=300) | st.none(), min_size=1, max_size=60), st.fixed_dictionaries(OPTIONS))
def test_the_headers_of_pages_have_the_sizes_of_their_column(values: list[bytes | None], options: dict[str, Any]):
    pq.write_table(
        pa.table({"image": pa.array(values, pa.binary()), "n": range(len(values))}), "a.parquet", **options
    )
    check_table(FILE)
    metadata = pq.read_metadata("a.parquet")
    for number in range(2):
        chunk = metadata.row_group(0).column(number)
        pages = _read_pages(FILE, chunk)
        assert sum(page.header_size + page.size for page in pages) == chunk.total_uncompressed_size
        assert sum(page.header_size + page.size_in_file for page in pages) == chunk.total_compressed_size


def change_number(before: int, after: int) -> None:
    """Change a number in the file's metadata to a smaller or larger one that takes as many bytes."""

    def write(number: int, length: int = 0) -> bytes:
        number, parts = number << 1, list[int]()
        while number or not parts or len(parts) < length:
            parts.append(number & 127 | 128)
            number >>= 7
        return bytes([*parts[:-1], parts[-1] & 127])

    content, old = Path("a.parquet").read_bytes(), write(before)
    assert old in content
    Path("a.parquet").write_bytes(content.replace(old, write(after, len(old))))


def test_a_page_that_expands_is_refused_whatever_the_metadata_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ita_pipeline.sources.table_sizes._MIN_BOMB_BYTES", 1 << 20)
    images = pa.array([b"image", bytes(2_000_000), b"image"], pa.binary())
    pq.write_table(pa.table({"image": images}), "a.parquet", compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata("a.parquet").row_group(0).column(0)
    change_number(chunk.total_uncompressed_size, 5000)
    for cell in list_table_cells(FILE, "stamp"):
        with pytest.raises(BadItemError, match=r"expands to 2,000,\d+ bytes in its column image"):
            cell.read(100)
    answer = ita_here("data", "import", "a.parquet", "--to", "new")
    assert (answer.code, "expands to 2,000," in answer.err) == (2, True), answer.err


def test_a_table_has_no_more_rows_than_its_size_allows():
    pq.write_table(pa.table({"image": pa.array([b""] * 70_001, pa.binary())}), "a.parquet")
    change_number(70_001, 1_048_000)
    with pytest.raises(UsageError, match="1,048,000 rows, more than the"):
        list(itertools.islice(list_table_cells(FILE, "stamp"), 9))


def test_a_compressed_arrow_file_is_refused():
    batch = pa.record_batch({"image": pa.array([bytes(1000)]), "kind": pa.array(["a" * 99]).dictionary_encode()})
    for compression in (None, "zstd", "lz4"):
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.OSFile("a.arrow", "wb") as file, pa.ipc.new_stream(file, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        if compression is None:
            assert map_arrow_file(Path("a.arrow")).num_rows == 1
            continue
        with pytest.raises(UsageError, match="is compressed"):
            map_arrow_file(Path("a.arrow"))
