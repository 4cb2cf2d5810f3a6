"""Compaction of a shared cache: no record is lost, wherever it is interrupted."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.cache.compaction import compact_shared, merge_small_objects
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, push
from ita_pipeline.cache.store import Store
from tests.support.s3_server import URL, Fault, Server
from tests.support.segments import FOLDER, KEY, STAGE, put, read_numbers, value


def test_a_compacted_shared_cache_is_not_fetched_or_pushed_again(
    shared: SharedCache, here: Store, there: Store, tmp_path: Path
):
    for number in range(5):
        put(here, value(number))
    put(here, value(0, 9), replace=True)
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    ((address, done),) = compact_shared(shared, tmp_path)
    assert (address, done.segments, done.records) == (shared.address(FOLDER), 5, 4)
    assert len(shared.list_folder(FOLDER).segments) == 2
    assert list(compact_shared(shared, tmp_path)) == []
    for store in (here, there):
        assert pull(store, shared, KEY, STAGE) == Transfer()
        assert push(store, shared, KEY) == Transfer()
    third = Store(tmp_path / "third")
    assert pull(third, shared, KEY, STAGE).segments == 2
    assert third.results(STAGE, KEY) == here.results(STAGE, KEY)


def test_small_objects_are_merged_when_they_become_many(server: Server, here: Store, tmp_path: Path):
    shared = SharedCache(URL)
    for number in range(20):
        put(here, value(number))
        if push(here, shared, KEY, max_small_objects=6).is_crowded:
            merge_small_objects(shared, KEY, tmp_path)
        assert len(shared.list_folder(FOLDER).segments) <= 6
    third = Store(tmp_path / "third")
    pull(third, shared, KEY, STAGE)
    assert read_numbers(third) == set(range(20))


def test_an_interrupted_compaction_of_a_shared_cache_loses_no_record(server: Server, here: Store, tmp_path: Path):
    """The server fails for good at the k-th change, for every k."""
    for number in range(3):
        put(here, value(number))
    put(here, value(0, 9), replace=True)
    before = here.results(STAGE, KEY)
    shared = SharedCache(URL)
    for after in range(30):
        shared.remove_folder(FOLDER)
        server.faults = []
        push(here, shared, KEY)
        faults = [Fault("403", "PUT", after=after), Fault("403", "DELETE", after=after)]
        server.faults = faults
        try:
            list(compact_shared(shared, tmp_path))
            failed = False
        except PermissionError:
            failed = True
        server.faults = []
        third = Store(tmp_path / f"third{after}")
        pull(third, shared, KEY, STAGE)
        assert third.results(STAGE, KEY) == before
        if not failed:
            assert after >= 3
            return
    raise AssertionError("it never came to its end")
