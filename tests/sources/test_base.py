"""Tests of random access: a range of a file is the same wherever the file is."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.sources.base import RandomAccessFile, open_buffered
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import examine_file

STEPS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 200)), max_size=12)


@settings(deadline=None)
@given(st.binary(max_size=300), STEPS, st.integers(1, 64))
def test_ranges_equal_those_of_the_content(content: bytes, steps: list[tuple[int, int]], buffer_size: int):
    Path("file").write_bytes(content)
    fsspec.filesystem("memory").pipe_file("/ranges/file", content)
    files: list[RandomAccessFile] = [LocalFile(Path("file")), examine_file("memory://ranges/file")]
    for file in files:
        expected = io.BytesIO(content)
        with open_buffered(file, buffer_size) as stream:
            for offset, size in steps:
                assert (stream.seek(offset), stream.read(size)) == (expected.seek(offset), expected.read(size))
        assert file.size() == len(content)
