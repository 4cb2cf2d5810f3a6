"""The store: records by key, described in clear, by any number of writers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.core.files import write_atomically
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeConfig, SizeStage, SizeValue

STAGE = SizeStage()
KEY = stage_key(STAGE, {})
ONE = Record("a", SizeValue(width=1, height=1), 0.1)
FAILED = Record("a", Failure(kind=FailureKind.TRANSIENT, reason="busy"), 0.1)


def put(store: Store, *found: Record) -> None:
    with store.open_writer(KEY) as writer:
        writer.append(list(found))


def test_what_one_store_writes_another_reads(tmp_path: Path):
    put(Store(tmp_path), ONE)
    assert Store(tmp_path).results(STAGE, KEY) == {"a": ONE}


def test_a_writer_is_seen_by_the_store_that_made_it(tmp_path: Path):
    store = Store(tmp_path)
    assert store.results(STAGE, KEY) == {}
    put(store, ONE)
    assert store.results(STAGE, KEY) == {"a": ONE}


def test_a_value_beats_a_failure_in_either_order(tmp_path: Path):
    for number, order in enumerate([(ONE, FAILED), (FAILED, ONE)]):
        store = Store(tmp_path / str(number))
        put(store, *order)
        assert Store(store.root).results(STAGE, KEY)["a"] == ONE


def test_the_key_stands_in_clear_beside_its_records(tmp_path: Path):
    store = Store(tmp_path)
    put(store, ONE)
    described = json.loads((store.folder(KEY) / "stage.json").read_text())
    assert described == {"key": KEY.hexdigest, "components": KEY.components}
    assert store.folder(KEY) == tmp_path / "cache" / "size" / KEY.hexdigest[:16]


def test_other_keys_of_the_stage_are_found(tmp_path: Path):
    store = Store(tmp_path)
    put(store, ONE)
    other = stage_key(SizeStage(SizeConfig(times=2)), {})
    assert [key.hexdigest for key in store.other_keys(other)] == [KEY.hexdigest]
    assert list(store.other_keys(KEY)) == []


def test_a_moved_store_is_the_same_store(tmp_path: Path):
    put(Store(tmp_path / "here"), ONE)
    (tmp_path / "here").rename(tmp_path / "there")
    assert Store(tmp_path / "there").results(STAGE, KEY) == {"a": ONE}


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "stage.json"
    write_atomically(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
