"""Tests of files on this machine: their addresses, and files that cannot be read."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ita_pipeline.sources.local import LocalFile
from stages.base import BadItemError, FailureKind


def test_the_address_of_a_local_file_is_its_absolute_path():
    file = LocalFile(Path("deep/a.png"))
    assert file.address("/here") == b"/here/deep/a.png"
    assert LocalFile(Path("/x/a.png")).address("/here") == b"/x/a.png"
    assert pickle.loads(pickle.dumps(file)) == file  # noqa: S301
    assert (file.label, file.name, file.is_remote, file.stamp()) == ("deep/a.png", "a.png", False, "")


def test_a_file_that_cannot_be_read_has_a_reason(tmp_path: Path):
    for read in (
        LocalFile(Path("gone")).read,
        lambda max_bytes: LocalFile(tmp_path).fetch_if_changed(max_bytes, ""),
    ):
        with pytest.raises(BadItemError) as caught:
            read(100)
        assert caught.value.failure.kind is FailureKind.TRANSIENT
    Path("large").write_bytes(b"x" * 101)
    for read in (
        LocalFile(Path("large")).read,
        lambda max_bytes: LocalFile(Path("large")).fetch_if_changed(max_bytes, ""),
    ):
        with pytest.raises(BadItemError) as caught:
            read(100)
        assert caught.value.failure.kind is FailureKind.RESOURCE
