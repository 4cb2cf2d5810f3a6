"""Tests of the download cache: it is bounded, disappears at the end, and is never needed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from ita_pipeline.sources.download_cache import DownloadCache
from ita_pipeline.sources.object_store import examine_file
from stages.base import BadItemError


def test_a_copy_is_read_instead_and_disappears_at_the_end():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/cached/a.png", b"content")
    source = examine_file("memory://cached/a.png")
    with DownloadCache() as cache:
        copy = cache.add(source, "key", b"content")
        memory.rm_file("/cached/a.png")
        assert copy.read(100) == b"content"
        assert (copy.label, copy.name, copy.is_remote) == (source.label, source.name, True)
        assert copy.address("/") == source.address("/")
        with pytest.raises(BadItemError):
            copy.read(3)
    with pytest.raises(BadItemError):
        copy.read(100)
    memory.pipe_file("/cached/a.png", b"content")
    assert copy.read(100) == b"content"


def test_an_image_that_does_not_fit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fsspec.filesystem("memory").pipe_file("/cached/b.png", b"1234")
    source = examine_file("memory://cached/b.png")
    with DownloadCache(6) as cache:
        assert cache.add(source, "one", b"1234") != source
        assert cache.add(source, "two", b"1234") is source
        assert cache.add(source, "three", b"12") != source
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 6
    assert list(tmp_path.iterdir()) == []


def test_an_unused_cache_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DownloadCache():
        assert list(tmp_path.iterdir()) == []
