"""Tests of the download cache: it is bounded, disappears at the end, and is never needed."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from ita_pipeline.sources.download_cache import DownloadCache
from ita_pipeline.sources.object_store import examine_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError


def test_a_copy_is_read_instead_and_disappears_at_the_end():
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/cached/a.png", b"content")
    source = examine_file("memory://cached/a.png")
    with DownloadCache() as cache:
        image = ImageRef("key", source, copy=cache.add("key", b"content"))
        memory.rm_file("/cached/a.png")
        assert image.read(100) == b"content"
        assert (image.label, image.source.name, image.source.is_remote) == (source.label, source.name, True)
        assert image.source.address("/") == source.address("/")
        with pytest.raises(BadItemError):
            image.read(3)
    with pytest.raises(BadItemError):
        image.read(100)
    memory.pipe_file("/cached/a.png", b"content")
    assert image.read(100) == b"content"


def test_an_image_that_does_not_fit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DownloadCache(6) as cache:
        assert cache.add("one", b"1234") is not None
        assert cache.add("two", b"1234") is None
        assert cache.add("three", b"12") is not None
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 6
    assert list(tmp_path.iterdir()) == []


def test_an_unused_cache_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DownloadCache():
        assert list(tmp_path.iterdir()) == []
