"""Tests of identification: a file is hashed once until it changes, and copies of fetched images are bounded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import fsspec
import pytest

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.sources.identify import DownloadCache, identify
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.object_store import examine_file
from ita_pipeline.sources.refs import ImageRef, Unreadable
from stages.base import BadItemError
from tests.support.fakes import draw


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, manifest = draw(tmp_path / "a.png"), Manifest(Index(tmp_path))
    os.utime(path, (time.time() - 60, time.time() - 60))
    first = list(identify([LocalFile(path)], manifest))
    with monkeypatch.context() as patched:
        patched.setattr(LocalFile, "fetch_if_changed", lambda *_: pytest.fail("hashed again"))
        assert list(identify([LocalFile(path)], manifest)) == first
    draw(path, "blue")
    (again,) = identify([LocalFile(path)], manifest)
    assert again == ImageRef(hash_file(path), LocalFile(path), before=first[0].key)
    assert again != first[0]


def test_pipes_and_missing_files_are_unreadable_and_odd_names_are_not(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/line\n\xff.png"))
    draw(tmp_path / "plain.png").rename(odd)
    pipe, gone, named = identify(
        map(LocalFile, [tmp_path / "pipe.jpg", tmp_path / "gone.jpg", odd]), Manifest(Index(tmp_path / "i"))
    )
    assert isinstance(pipe, Unreadable)
    assert isinstance(gone, Unreadable)
    assert isinstance(named, ImageRef)


def test_a_copy_replaces_its_source_until_the_cache_is_closed():
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


def test_an_unused_cache_creates_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with DownloadCache():
        assert list(tmp_path.iterdir()) == []
