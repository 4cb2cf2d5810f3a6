"""The index: derived from the segments, and up to date at every query."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.database import State
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from stages.base import Failure, FailureKind
from tests.support.segments import KEY, STAGE, put, read_states, value

NAMES = [f"{number:064x}" for number in range(6)]


OpenStore = Callable[[Path], Store]


@pytest.fixture(autouse=True, params=["as they come", "in bulk"], scope="module")
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Both ways into the table: each segment on its own, and all new segments together."""

    def open_it(root: Path) -> Store:
        store = Store(root)
        if request.param == "in bulk":
            store.index.bulk_bytes = -1
        return store

    return open_it


def failure(image: str) -> Record:
    return Record(image, Failure(kind=FailureKind.TRANSIENT, reason="busy"), 0.5)


def test_the_index_follows_a_growing_segment(open_store: OpenStore, tmp_path: Path):
    store = open_store(tmp_path)
    with store.open_writer(KEY) as writer:
        for number, name in enumerate(NAMES):
            writer.append([value(name)])
            assert len(read_states(store)) == number + 1


def test_the_index_follows_added_and_removed_segments(open_store: OpenStore, tmp_path: Path):
    store = open_store(tmp_path)
    first = put(store, value("a"), failure("b"))
    put(store, value("b"))
    assert read_states(store) == {"a": State.VALUE, "b": State.VALUE}
    first.unlink()
    assert read_states(store) == {"b": State.VALUE}


def test_a_later_generation_replaces_earlier_records(open_store: OpenStore, tmp_path: Path):
    store = open_store(tmp_path)
    put(store, value("a", 1))
    path = put(store, value("a", 2), replace=True)
    assert path.name.endswith(".g2.jsonl")
    assert store.results(STAGE, KEY)["a"] == value("a", 2)
    put(store, failure("a"), replace=True)
    assert read_states(open_store(tmp_path)) == {"a": State.TRANSIENT}


def test_only_the_requested_images_are_found(open_store: OpenStore, tmp_path: Path):
    store = open_store(tmp_path)
    put(store, *(value(name) for name in NAMES), value("some id"))
    found = store.results(STAGE, KEY, [NAMES[3], "some id", "unknown"])
    assert set(found) == {NAMES[3], "some id"}


def test_a_change_that_keeps_size_and_time_is_detected(open_store: OpenStore, tmp_path: Path):
    path = put(open_store(tmp_path), value("a"), value("b"))
    assert len(read_states(open_store(tmp_path))) == 2
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"width"', b'"wider"', 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_states(open_store(tmp_path)) == {"b": State.VALUE}


@pytest.mark.parametrize("in_order", [True, False])
def test_the_choice_between_equal_records_does_not_depend_on_their_order(
    open_store: OpenStore, tmp_path: Path, in_order: bool
):
    store = open_store(tmp_path)
    paths = [put(store, value("a", width)) for width in (1, 2)]
    wanted = open_store(tmp_path).results(STAGE, KEY)["a"]
    kept = {path: path.read_bytes() for path in paths}
    fresh = open_store(tmp_path)
    (tmp_path / "index.sqlite").unlink()
    for path in paths:
        path.unlink()
    for path in paths if in_order else reversed(paths):
        path.write_bytes(kept[path])
        fresh.index.refresh(fresh.folder(KEY))
    assert fresh.results(STAGE, KEY)["a"] == wanted


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


def test_records_of_a_segment_removed_by_hand_leave_the_index(tmp_path: Path):
    store = Store(tmp_path)
    put(store, value("a"))
    removed = put(store, value("b"))
    assert set(store.results(STAGE, KEY)) == {"a", "b"}
    removed.unlink()
    assert set(store.results(STAGE, KEY)) == {"a"}


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
