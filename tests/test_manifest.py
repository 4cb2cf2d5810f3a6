"""The manifest saves hashing, and whatever happens to it, nothing but time is lost."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.manifest import Manifest, Stamped

FILE = Stamped(b"/x/\xff.jpg", "1 2 3", "key")


def test_what_is_put_is_found(tmp_path: Path):
    manifest = Manifest(tmp_path / "new" / "index.sqlite")
    assert manifest.get() == {}
    manifest.put([FILE])
    assert manifest.get() == {FILE.path: FILE}


def test_a_damaged_manifest_is_made_anew(tmp_path: Path):
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"this is no database" * 100)
    manifest = Manifest(path)
    assert manifest.get() == {}
    manifest.put([FILE])
    assert manifest.get() == {FILE.path: FILE}


def test_a_manifest_that_cannot_be_written_is_done_without(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    manifest = Manifest(tmp_path / "file" / "index.sqlite")
    manifest.put([FILE])
    assert manifest.get() == {}
