"""The index: derived from the segments, and up to date at every query."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.database import State
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from stages.base import Failure
from tests.support.segments import KEY, STAGE, OpenStore, failure, put, read_states, value

NAMES = [f"{number:064x}" for number in range(6)]


def test_only_the_requested_images_are_found(open_store: OpenStore, tmp_path: Path):
    store = open_store(tmp_path)
    put(store, *(value(name) for name in NAMES), value("some id"))
    found = store.results(STAGE, KEY, [NAMES[3], "some id", "unknown"])
    assert set(found) == {NAMES[3], "some id"}


records = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 3)), max_size=5)


@settings(max_examples=30, deadline=None)
@given(segments=st.lists(st.tuples(records, st.booleans()), max_size=4))
def test_the_index_finds_what_a_full_read_finds(
    open_store: OpenStore,
    segments: list[tuple[list[tuple[str, bool, int]], bool]],
    tmp_path_factory: pytest.TempPathFactory,
):
    store = open_store(tmp_path_factory.mktemp("store"))
    holds: dict[str, list[tuple[int, bool, Record]]] = {}
    newest = 0
    for found, replace in segments:
        made = [value(name, width) if good else failure(name) for name, good, width in found]
        put(store, *made, replace=replace)
        rank = newest + 1 if replace else 1
        newest = max(newest, rank) if made else newest
        for record in made:
            holds.setdefault(record.image, []).append((rank, not isinstance(record.result, Failure), record))
    results = store.results(STAGE, KEY)
    assert results.keys() == holds.keys()
    for name, record in results.items():
        best = max((rank, good) for rank, good, _ in holds[name])
        assert record in [candidate for *standing, candidate in holds[name] if tuple(standing) == best]


def test_a_key_without_records_is_empty(open_store: OpenStore, tmp_path: Path):
    index = open_store(tmp_path).index
    index.refresh(tmp_path / "cache" / "size" / "nothing")
    assert list(index.find_entries(tmp_path / "cache" / "size" / "nothing")) == []
    assert index.summarize(tmp_path / "cache" / "size" / "nothing").seconds is None


@pytest.mark.parametrize(
    "change", ["start = start + 1", "state = 1", "segment = 9", "length = NULL", "seconds = 'x'", "image = 'b'"]
)
def test_a_wrong_row_is_derived_again(tmp_path: Path, change: str):
    put(Store(tmp_path), value("a"))
    assert read_states(Store(tmp_path)) == {"a": State.VALUE}
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute(f"UPDATE records SET {change}")
    connection.close()
    assert Store(tmp_path).results(STAGE, KEY) == {"a": value("a")}
    store = Store(tmp_path)
    store.index.select(["a"])
    store.index.refresh(store.folder(KEY))
    assert store.index.find_unfinished(store.folder(KEY)) == []
