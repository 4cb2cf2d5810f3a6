"""Files that are read here and there give what they hold, whatever they lie on."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.sources.base import File, opened
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import far_file
from stages.base import BadItemError, FailureKind

STEPS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 200)), max_size=12)


@settings(deadline=None)
@given(st.binary(max_size=300), STEPS, st.integers(1, 64))
def test_parts_are_those_of_the_whole(content: bytes, steps: list[tuple[int, int]], buffered: int):
    Path("file").write_bytes(content)
    fsspec.filesystem("memory").pipe_file("/parts/file", content)
    files: list[File] = [LocalFile(Path("file")), far_file("memory://parts/file")]
    for file in files:
        whole = io.BytesIO(content)
        with opened(file, buffered) as parts:
            for offset, size in steps:
                assert (parts.seek(offset), parts.read(size)) == (whole.seek(offset), whole.read(size))
        assert file.size() == len(content)


def test_a_local_file_is_known_by_its_absolute_path():
    place = LocalFile(Path("deep/a.png"))
    assert place.address("/here") == b"/here/deep/a.png"
    assert LocalFile(Path("/x/a.png")).address("/here") == b"/x/a.png"
    assert pickle.loads(pickle.dumps(place)) == place  # noqa: S301
    assert (place.label, place.name, place.far, place.stamp()) == ("deep/a.png", "a.png", False, "")


def test_what_cannot_be_read_has_a_reason(tmp_path: Path):
    for act in (LocalFile(Path("gone")).read, lambda most: LocalFile(tmp_path).look(most, "")):
        with pytest.raises(BadItemError) as caught:
            act(100)
        assert caught.value.failure.kind is FailureKind.TRANSIENT
    Path("large").write_bytes(b"x" * 101)
    for act in (LocalFile(Path("large")).read, lambda most: LocalFile(Path("large")).look(most, "")):
        with pytest.raises(BadItemError) as caught:
            act(100)
        assert caught.value.failure.kind is FailureKind.RESOURCE
