"""Compaction: few segments remain, no record is lost, and the index follows without reading everything again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from ita_pipeline.cache.compaction import (
    compact,
    compact_folder,
    merge_segments,
    merge_small_segments,
    open_writer,
)
from ita_pipeline.cache.lineage import find_equivalents, read_merges
from ita_pipeline.cache.records import MAX_SMALL_SEGMENTS, Record, SegmentLine, read_lines
from ita_pipeline.cache.store import Store
from stages.base import Failure, FailureKind
from tests.support.segments import KEY, STAGE, value


def put(store: Store, *found: Record, replace: bool = False) -> str:
    with open_writer(store, KEY, replace) as writer:
        writer.append(list(found))
    return writer.path.name


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder(KEY).glob("*.jsonl"))


def test_compaction_keeps_generations_apart(tmp_path: Path):
    store = Store(tmp_path)
    put(store, value("a"), value("b"))
    put(store, value("c"))
    put(store, value("a", 2), replace=True)
    before = store.results(STAGE, KEY)
    (done,) = compact(store)
    assert (done.segments, done.records) == (2, 2)
    assert sorted(".g2" in name for name in names(store)) == [False, True]
    assert Store(tmp_path).results(STAGE, KEY) == before
    assert list(compact(store)) == []


def test_a_note_records_which_segments_were_merged(tmp_path: Path):
    store = Store(tmp_path)
    old = {put(store, value("a")), put(store, value("b"))}
    (done,) = compact(store)
    assert done.merge.parts == old
    assert find_equivalents(names(store), read_merges(store.folder(KEY))) >= old


def test_small_segments_are_merged_when_they_become_many(tmp_path: Path):
    store = Store(tmp_path)
    for number in range(3 * MAX_SMALL_SEGMENTS):
        put(store, value(f"{number:064x}"))
        assert len(names(store)) <= MAX_SMALL_SEGMENTS
    assert len(store.results(STAGE, KEY)) == 3 * MAX_SMALL_SEGMENTS
    assert len(Store(tmp_path).results(STAGE, KEY)) == 3 * MAX_SMALL_SEGMENTS


def test_the_index_follows_a_merge_without_reading_unchanged_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = Store(tmp_path)
    store.max_segment_bytes = 2000
    large = put(store, *(value(f"{number:064x}") for number in range(50)))
    small = [put(store, value(f"{number:064x}")) for number in range(100, 103)]
    assert len(store.results(STAGE, KEY)) == 53
    read: list[str] = []

    def note_and_read(segment: BinaryIO, start: int, number: int) -> Iterator[SegmentLine]:
        read.append(Path(segment.name).name)
        return read_lines(segment, start, number)

    monkeypatch.setattr("ita_pipeline.cache.indexing.read_lines", note_and_read)
    (done,) = compact(store)
    assert done.merge.parts == set(small)
    assert len(store.results(STAGE, KEY)) == 53
    assert large not in read
    assert len(read) == 1


def test_compaction_keeps_one_record_per_image_and_prefers_values(tmp_path: Path):
    store = Store(tmp_path)
    failed = Record("a", Failure(kind=FailureKind.TRANSIENT, reason="busy"), 0.1)
    put(store, failed, value("b"))
    put(store, value("a"), value("b"))
    (done,) = compact(store)
    assert done.records == 2
    assert store.results(STAGE, KEY) == {"a": value("a"), "b": value("b")}


def test_a_record_is_dropped_only_for_an_equal_one_that_is_kept(tmp_path: Path):
    """The segment of the equal record may be removed by another process at the same time."""
    store = Store(tmp_path)
    put(store, value("a"))
    put(store, value("a"))
    first, second = (store.folder(KEY) / name for name in names(store))
    store.index.refresh(store.folder(KEY))
    done = merge_segments(store, store.folder(KEY), [second])
    assert done.records == 1
    first.unlink()
    assert set(Store(tmp_path).results(STAGE, KEY)) == {"a"}


def test_a_segment_that_vanishes_during_a_merge_was_merged_by_another_process(tmp_path: Path):
    store = Store(tmp_path)
    for number in range(3):
        put(store, value(f"{number:064x}"))
    other = Store(tmp_path)
    assert len(other.results(STAGE, KEY)) == 3
    list(compact(store))
    assert len(other.results(STAGE, KEY)) == 3
    gone = store.folder(KEY) / "host-1-000000000000.jsonl"
    with pytest.raises(FileNotFoundError):
        merge_segments(store, store.folder(KEY), [*store.folder(KEY).glob("*.jsonl"), gone])
    assert len(Store(tmp_path).results(STAGE, KEY)) == 3
    assert not list(store.folder(KEY).glob("*.making"))
    assert merge_small_segments(store, store.folder(KEY)) is None
    assert compact_folder(store, store.folder(KEY)) is None
