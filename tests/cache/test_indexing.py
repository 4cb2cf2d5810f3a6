"""The index follows the segments of a folder as they grow, change and vanish."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ita_pipeline.cache.database import State
from ita_pipeline.cache.store import Store
from tests.support.segments import KEY, STAGE, OpenStore, failure, put, read_states, value

NAMES = [f"{number:064x}" for number in range(6)]


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


def test_records_of_a_segment_removed_by_hand_leave_the_index(tmp_path: Path):
    store = Store(tmp_path)
    put(store, value("a"))
    removed = put(store, value("b"))
    assert set(store.results(STAGE, KEY)) == {"a", "b"}
    removed.unlink()
    assert set(store.results(STAGE, KEY)) == {"a"}
