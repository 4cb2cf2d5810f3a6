"""Copies of fetched pictures: bounded, gone at the end, and never needed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from ita_pipeline.sources.download_cache import Spool
from ita_pipeline.sources.object_store import far_file
from stages.base import BadItemError


def test_a_copy_is_read_instead_and_gone_at_the_end():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/spooled/a.png", b"content")
    place = far_file("memory://spooled/a.png")
    with Spool() as spool:
        kept = spool.keep(place, "key", b"content")
        memory.rm_file("/spooled/a.png")
        assert kept.read(100) == b"content"
        assert (kept.label, kept.name, kept.far) == (place.label, place.name, True)
        assert kept.address("/") == place.address("/")
        with pytest.raises(BadItemError):
            kept.read(3)
    with pytest.raises(BadItemError):
        kept.read(100)
    memory.pipe_file("/spooled/a.png", b"content")
    assert kept.read(100) == b"content"


def test_what_does_not_fit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fsspec.filesystem("memory").pipe_file("/spooled/b.png", b"1234")
    place = far_file("memory://spooled/b.png")
    with Spool(6) as spool:
        assert spool.keep(place, "one", b"1234") != place
        assert spool.keep(place, "two", b"1234") is place
        assert spool.keep(place, "three", b"12") != place
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 6
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_nobody_needs_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Spool():
        assert list(tmp_path.iterdir()) == []
