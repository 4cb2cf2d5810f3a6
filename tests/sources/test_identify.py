"""Tests of identification: a file is hashed once until it changes, and one that cannot be read is reported."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef, Unreadable
from tests.support.fakes import draw


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, manifest = draw(tmp_path / "a.png"), Manifest(Index(tmp_path))
    os.utime(path, (time.time() - 60, time.time() - 60))
    first = list(identify([LocalFile(path)], manifest))
    with monkeypatch.context() as patched:
        patched.setattr("ita_pipeline.sources.local.hash_file", lambda path: pytest.fail("hashed again"))
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
