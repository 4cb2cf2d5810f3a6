"""Transfer of segments: each once and complete, over a real S3 server, memory and a folder."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ita_pipeline.cache.compaction import compact, compact_shared
from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.shared import sync
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, pull_all, push
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import MissingError
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeStage
from tests.support.s3_server import URL, Fault, Server, objects
from tests.support.segments import FOLDER, KEY, STAGE, put, read_numbers, value


def test_each_segment_is_pushed_and_pulled_once(shared: SharedCache, here: Store, there: Store):
    path = put(here, value(1), value(2))
    assert push(here, shared, KEY) == Transfer(1, path.stat().st_size)
    assert push(here, shared, KEY) == Transfer()
    assert pull(there, shared, KEY, STAGE) == Transfer(1, path.stat().st_size)
    assert pull(there, shared, KEY, STAGE) == Transfer()
    assert there.results(STAGE, KEY) == here.results(STAGE, KEY)
    assert push(there, shared, KEY) == Transfer()
    assert (there.folder(KEY) / path.name).read_bytes() == path.read_bytes()
    assert shared.read_key(FOLDER) == KEY
    assert shared.list_folders() == [FOLDER]


def test_a_later_generation_is_pulled_and_replaces_the_earlier(shared: SharedCache, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    put(there, value(1, 9), replace=True)
    push(there, shared, KEY)
    assert pull(here, shared, KEY, STAGE).segments == 1
    assert here.results(STAGE, KEY) == {value(1).image: value(1, 9)}


def test_merged_segments_are_not_transferred_again(shared: SharedCache, here: Store, there: Store):
    for number in range(3):
        put(here, value(number))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    list(compact(here))
    assert push(here, shared, KEY) == Transfer()
    assert pull(here, shared, KEY, STAGE) == Transfer()
    put(here, value(3))
    list(compact(here))
    assert push(here, shared, KEY).segments == 1
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert read_numbers(there) == {0, 1, 2, 3}


def test_a_pull_lists_again_when_a_listed_object_vanishes(
    server: Server, here: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared, real, turns = SharedCache(URL), sync.read_remote_state, []
    for number in range(4):
        put(here, value(number))
    push(here, shared, KEY)

    def compare(store: Store, at: SharedCache, key: StageKey) -> sync.RemoteState:
        found = real(store, at, key)
        if not turns:
            turns.append(list(compact_shared(shared, tmp_path)))
        return found

    monkeypatch.setattr(sync, "read_remote_state", compare)
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert read_numbers(there) == {0, 1, 2, 3}


def test_a_closed_segment_is_pushed_without_its_torn_end(shared: SharedCache, here: Store, there: Store):
    with here.open_writer(KEY) as writer:
        writer.append([value(1)])
        assert push(here, shared, KEY) == Transfer()
    with writer.path.open("ab") as opened:
        opened.write(b'{"image": "half')
    assert push(here, shared, KEY).segments == 1
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert (there.folder(KEY) / writer.path.name).read_bytes().endswith(b"}\n")


def test_a_pulled_segment_is_pushed_to_another_shared_cache_at_once(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = SharedCache(str(tmp_path / "one")), SharedCache(str(tmp_path / "other"))
    put(Store(tmp_path / "far"), value(1))
    push(Store(tmp_path / "far"), one, KEY)
    monkeypatch.setattr(sync, "host_name", lambda: "elsewhere")
    assert pull(here, one, KEY, STAGE).segments == 1
    assert push(here, other, KEY).segments == 1
    mine = put(here, value(2))
    assert push(here, other, KEY) == Transfer()  # who knows whether its host still writes to it
    os.utime(mine, (1, 1))
    assert push(here, other, KEY).segments == 1


def test_a_value_of_another_machine_replaces_a_failure(here: Store, there: Store, tmp_path: Path):
    shared = SharedCache(str(tmp_path / "shared"))
    failure = Failure(kind=FailureKind.PERMANENT, reason="no picture")
    put(here, value(1, 7), value(2, 7), Record(value(3).image, failure, 0.5))
    put(there, Record(value(1).image, failure, 0.5), value(3, 1))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    assert there.results(STAGE, KEY) == {one.image: one for one in (value(1, 7), value(2, 7), value(3, 1))}


@pytest.mark.parametrize("fault", ["503", "cut put", "cut get", "slow"])
def test_transient_errors_are_retried_and_no_partial_object_is_visible(
    fault: str, server: Server, here: Store, there: Store
):
    path = put(here, *(value(number) for number in range(50)))
    server.faults = [Fault(fault, path="jsonl", times=2, seconds=0.2)]
    assert push(here, SharedCache(URL), KEY).segments == 1
    assert list(objects(".jsonl").values()) == [path.read_bytes()]
    assert pull(there, SharedCache(URL), KEY, STAGE).segments == 1
    assert len(read_numbers(there)) == 50


@pytest.mark.parametrize("fault", [Fault("503", "PUT"), Fault("cut put", "PUT"), Fault("403", "PUT")])
def test_a_failed_push_leaves_no_partial_object(fault: Fault, server: Server, here: Store):
    paths = [put(here, *(value(10 * n + m) for m in range(9))) for n in range(3)]
    server.faults = [fault]
    with pytest.raises(Exception, match=r".") as caught, SharedCache(URL).as_user_errors():
        push(here, SharedCache(URL), KEY)
    assert isinstance(caught.value, MissingError)
    assert objects(".jsonl") == {}
    server.faults = []
    assert push(here, SharedCache(URL), KEY).segments == len(paths)


def test_a_broken_download_leaves_no_partial_segment(server: Server, here: Store, there: Store):
    put(here, *(value(number) for number in range(50)))
    push(here, SharedCache(URL), KEY)
    server.faults = [Fault("cut get", "GET", "jsonl")]
    with pytest.raises(MissingError), SharedCache(URL).as_user_errors():
        pull(there, SharedCache(URL), KEY, STAGE)
    assert [path.name for path in there.folder(KEY).iterdir()] == ["stage.json"]
    server.faults = []
    assert pull(there, SharedCache(URL), KEY, STAGE).segments == 1


def test_machines_agree_after_writes_transfers_and_merges_in_any_order(shared: SharedCache, tmp_path: Path):
    chance = random.Random(4)
    stores = [Store(tmp_path / f"machine{number}") for number in range(3)]
    written: set[int] = set()
    for turn in range(60):
        store = chance.choice(stores)
        act = chance.choice(["write", "write", "push", "pull", "compact here", "compact there"])
        if act == "write":
            written.add(turn)
            put(store, value(turn))
        elif act == "push":
            push(store, shared, KEY)
        elif act == "pull":
            pull(store, shared, KEY, STAGE)
        elif act == "compact here":
            list(compact(store))
        else:
            list(compact_shared(shared, tmp_path))
    for store in stores:
        push(store, shared, KEY)
    for store in stores:
        pull(store, shared, KEY, STAGE)
        assert read_numbers(store) == written
        assert push(store, shared, KEY) == Transfer()


def test_keys_that_no_installed_stage_can_read_are_skipped_with_the_reason(
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
