"""The store: records by key, from any number of writers."""

from __future__ import annotations

import json
from pathlib import Path

from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeConfig, SizeStage, SizeValue
from tests.support.segments import KEY, STAGE, put, value

ONE = Record("a", SizeValue(width=1, height=1), 0.1)
FAILED = Record("a", Failure(kind=FailureKind.TRANSIENT, reason="busy"), 0.1)


def test_records_of_one_store_are_read_by_another(tmp_path: Path):
    put(Store(tmp_path), ONE)
    assert Store(tmp_path).results(STAGE, KEY) == {"a": ONE}


def test_a_store_reads_records_written_after_its_first_read(tmp_path: Path):
    store = Store(tmp_path)
    assert store.results(STAGE, KEY) == {}
    put(store, ONE)
    assert store.results(STAGE, KEY) == {"a": ONE}


def test_a_value_takes_precedence_over_a_failure(tmp_path: Path):
    for number, order in enumerate([(ONE, FAILED), (FAILED, ONE)]):
        store = Store(tmp_path / str(number))
        put(store, *order)
        assert Store(store.root).results(STAGE, KEY)["a"] == ONE


def test_a_key_is_described_beside_its_records(tmp_path: Path):
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


def test_a_store_can_be_moved(tmp_path: Path):
    put(Store(tmp_path / "here"), ONE)
    (tmp_path / "here").rename(tmp_path / "there")
    assert Store(tmp_path / "there").results(STAGE, KEY) == {"a": ONE}


def test_a_writer_closes_a_full_segment_and_opens_another(tmp_path: Path):
    store = Store(tmp_path)
    store.max_segment_bytes = 500
    with store.open_writer(KEY) as writer:
        for number in range(20):
            writer.append([value(number)])
    sizes = [path.stat().st_size for path in store.folder(KEY).glob("*.jsonl")]
    assert len(sizes) > 3
    assert max(sizes) < 800
    assert len(store.results(STAGE, KEY)) == 20
