"""The manifest: it saves hashing, and its loss costs nothing but time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.sources.refs import Stamped

FILE = Stamped(b"/x/\xff.jpg", "1 2 3", "key", "before")


def test_files_are_found_by_another_manifest(tmp_path: Path):
    manifest = Manifest(Index(tmp_path / "new"))
    assert manifest.get([FILE.path]) == {}
    manifest.put([FILE])
    assert Manifest(Index(tmp_path / "new")).get([b"/y", FILE.path]) == {FILE.path: FILE}
    assert manifest.paths_of(["key", "none"]) == {"key": [FILE.path]}
    assert manifest.paths() == [FILE.path]


def test_more_files_than_fit_into_one_query_are_found(tmp_path: Path):
    files = [Stamped(b"/%d" % number, "s", "k") for number in range(1200)]
    manifest = Manifest(Index(tmp_path))
    manifest.put(files)
    assert manifest.get([file.path for file in files]) == {file.path: file for file in files}


def test_a_damaged_manifest_is_rebuilt(tmp_path: Path):
    (tmp_path / "index.sqlite").write_bytes(b"this is no database" * 100)
    manifest = Manifest(Index(tmp_path))
    assert manifest.get([FILE.path]) == {}
    manifest.put([FILE])
    assert Manifest(Index(tmp_path)).get([FILE.path]) == {FILE.path: FILE}


def test_a_wrong_key_is_not_believed(tmp_path: Path):
    Manifest(Index(tmp_path)).put([FILE])
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("UPDATE files SET key = 'another'")
    connection.close()
    assert Manifest(Index(tmp_path)).get([FILE.path]) == {}


def test_a_forgotten_file_keeps_its_key_without_a_stamp(tmp_path: Path):
    manifest = Manifest(Index(tmp_path))
    manifest.put([FILE])
    manifest.forget([FILE.path, b"/unknown"])
    assert manifest.get([FILE.path, b"/unknown"]) == {FILE.path: Stamped(FILE.path, "", "key", "before")}


def test_a_manifest_that_cannot_be_written_works_in_memory(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    manifest = Manifest(Index(tmp_path / "file" / "here"))
    manifest.put([FILE])
    assert Manifest(Index(tmp_path / "file" / "here")).get([FILE.path]) == {}
