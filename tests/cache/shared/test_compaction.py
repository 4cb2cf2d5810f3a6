"""Maintenance of a shared cache: merges, cleanup and pulls of all keys lose no record, wherever they stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.cleanup import plan_cleanup, remove
from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.shared import compaction
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, pull_all, push
from ita_pipeline.cache.store import Store
from tests.support.fakes import SizeStage
from tests.support.s3_server import URL, Fault, Server
from tests.support.shared_segments import FOLDER, KEY, STAGE, put, read_numbers, value


def test_a_shared_cache_is_brought_together_and_nobody_fetches_it_again(
    shared: SharedCache, here: Store, there: Store, tmp_path: Path
):
    for number in range(5):
        put(here, value(number))
    put(here, value(0, 9), replace=True)
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    ((address, done),) = compaction.compact(shared, tmp_path)
    assert (address, done.segments, done.records) == (shared.address(FOLDER), 5, 4)
    assert len(shared.list_folder(FOLDER).segments) == 2
    assert list(compaction.compact(shared, tmp_path)) == []
    for store in (here, there):
        assert pull(store, shared, KEY, STAGE) == Transfer()
        assert push(store, shared, KEY) == Transfer()
    third = Store(tmp_path / "third")
    assert pull(third, shared, KEY, STAGE).segments == 2
    assert third.results(STAGE, KEY) == here.results(STAGE, KEY)


def test_small_objects_stay_few(server: Server, here: Store, tmp_path: Path):
    shared = SharedCache(URL)
    for number in range(20):
        put(here, value(number))
        if push(here, shared, KEY, max_small_objects=6).is_crowded:
            compaction.merge_small_segments(shared, KEY, tmp_path)
        assert len(shared.list_folder(FOLDER).segments) <= 6
    third = Store(tmp_path / "third")
    pull(third, shared, KEY, STAGE)
    assert read_numbers(third) == set(range(20))


def test_what_was_not_used_for_long_goes(shared: SharedCache, here: Store, tmp_path: Path):
    put(here, value(1))
    other = stage_key(SizeStage(STAGE.config.model_copy(update={"times": 2})), {})
    with here.open_writer(other) as writer:
        writer.append([value(1)])
    push(here, shared, other)
    push(here, shared, KEY)
    found = {holding.key.hexdigest: holding for holding in shared.list_keys()}
    assert found[KEY.hexdigest].segments == 1
    removal = plan_cleanup(shared, keep=1)
    (gone,) = removal.removed
    list(remove(shared, removal))
    assert gone.folder.as_posix() not in shared.list_folders()
    assert len(shared.list_folders()) == 1


def test_keys_of_another_version_and_of_stages_that_are_not_installed_are_left_out_and_named(
    here: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared = SharedCache(str(tmp_path / "shared"))
    put(here, value(1))
    push(here, shared, KEY)
    monkeypatch.setattr(SizeStage, "version", 2)
    other = stage_key(SizeStage(), {})
    with here.open_writer(other) as writer:
        writer.append([value(2)])
    push(here, shared, other)
    pulled = {one.key.hexdigest: one for one in pull_all(there, shared, {"size": SizeStage})}
    assert pulled[KEY.hexdigest].left_out == "it is of another version of the stage"
    assert pulled[other.hexdigest].left_out == ""
    assert set(there.results(SizeStage(), other)) == {value(2).image}
    assert there.results(STAGE, KEY) == {}
    left_out = {one.left_out for one in pull_all(there, shared, {})}
    assert left_out == {"that stage is not installed"}
    assert list(pull_all(there, shared, {"size": SizeStage}, ["ocr"])) == []


def test_stopped_anywhere_bringing_together_there_loses_nothing(server: Server, here: Store, tmp_path: Path):
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
            list(compaction.compact(shared, tmp_path))
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
