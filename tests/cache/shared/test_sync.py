"""Segments put and fetched: each once, whole, none damaged; over a real S3 server, memory and a folder."""

from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import MAX_LINE_BYTES, Record, encode
from ita_pipeline.cache.shared import compaction, sync
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, push
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import verify_segments
from ita_pipeline.core.errors import CorruptCacheError, MissingError
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeValue
from tests.support.s3_server import URL, Fault, Server, objects
from tests.support.shared_segments import FOLDER, KEY, STAGE, put, read_numbers, spoil, value


def test_what_one_machine_puts_another_fetches_and_neither_does_it_twice(
    shared: SharedCache, here: Store, there: Store
):
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


def test_a_later_generation_comes_too_and_outranks(shared: SharedCache, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    put(there, value(1, 9), replace=True)
    push(there, shared, KEY)
    assert pull(here, shared, KEY, STAGE).segments == 1
    assert here.results(STAGE, KEY) == {value(1).image: value(1, 9)}


def test_what_was_brought_together_is_neither_fetched_nor_put_again(shared: SharedCache, here: Store, there: Store):
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


def test_what_vanishes_after_it_was_listed_is_listed_again(
    server: Server, here: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared, real, turns = SharedCache(URL), sync.read_remote_state, []
    for number in range(4):
        put(here, value(number))
    push(here, shared, KEY)

    def compare(store: Store, at: SharedCache, key: StageKey) -> sync.RemoteState:
        found = real(store, at, key)
        if not turns:
            turns.append(list(compaction.compact(shared, tmp_path)))
        return found

    monkeypatch.setattr(sync, "read_remote_state", compare)
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert read_numbers(there) == {0, 1, 2, 3}


def test_a_segment_is_put_when_nobody_appends_to_it_and_without_a_torn_end(
    shared: SharedCache, here: Store, there: Store
):
    with here.open_writer(KEY) as writer:
        writer.append([value(1)])
        assert push(here, shared, KEY) == Transfer()
    with writer.path.open("ab") as opened:
        opened.write(b'{"image": "half')
    assert push(here, shared, KEY).segments == 1
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert (there.folder(KEY) / writer.path.name).read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("how", ["flipped", "cut", "no record", "empty"])
def test_a_damaged_object_is_named_and_left_out_until_it_is_mended(
    how: str, shared: SharedCache, here: Store, there: Store, tmp_path: Path
):
    path, good = put(here, value(1), value(2)), put(here, value(3))
    push(here, shared, KEY)
    shared.put(FOLDER, path.name, spoil(path.read_bytes(), how))
    for _ in range(2):
        moved = pull(there, shared, KEY, STAGE)
        ((address, _),) = moved.damaged
        assert address == f"{shared.url}/size/{KEY.short}/{path.name}"
        assert read_numbers(there) == {3}
    assert verify_segments(shared.fetch_segments(tmp_path)).damage[0].segment == address
    with pytest.raises(CorruptCacheError, match=path.name):
        list(compaction.compact(shared, tmp_path))
    assert set(shared.list_folder(FOLDER).segments) == {path.name, good.name}
    list(compaction.compact(shared, tmp_path, drop_damaged=True))
    assert verify_segments(shared.fetch_segments(tmp_path)).damage == ()
    assert pull(there, shared, KEY, STAGE).damaged == ()
    assert push(here, shared, KEY).segments == 1
    pull(there, shared, KEY, STAGE)
    assert read_numbers(there) == {1, 2, 3}


def test_what_is_damaged_here_is_not_spread_and_comes_back_whole(shared: SharedCache, here: Store, there: Store):
    path = put(here, value(1), value(2))
    push(here, shared, KEY)
    path.write_bytes(spoil(path.read_bytes(), "flipped"))
    list(compact(here, drop_damaged=True))
    assert read_numbers(here) == {2}
    assert pull(here, shared, KEY, STAGE).segments == 1
    assert read_numbers(here) == {1, 2}
    other = put(there, value(5))
    other.write_bytes(spoil(other.read_bytes(), "flipped"))
    assert push(there, shared, KEY).damaged == ((str(other), 1),)
    assert other.name not in shared.list_folder(FOLDER).segments


def test_what_came_from_one_shared_cache_goes_to_another_at_once(
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


def test_names_that_are_no_segments_are_left_alone(shared: SharedCache, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    for name in ("x.jsonl", "evil.sh", ".hidden", "merged-0000000000000000.json"):
        shared.put(FOLDER, name, b"hello\n")
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert len(list(there.folder(KEY).iterdir())) == 2


# Records from outside: nothing in a shared cache is trusted.


def signed(text: str) -> bytes:
    """A line with a check sum that is right, whatever the line contains."""
    return text.encode() + b', "crc": "%08x"}\n' % zlib.crc32(text.encode())


SIZE = '"value": {"width": 1, "height": 1}'
HOSTILE = {
    "value of another shape": (signed('{"image": "b", "value": {"x": 1}, "seconds": 1'), 2),
    "neither value nor failure": (signed('{"image": "b", "seconds": 1'), 2),
    "failure of no kind": (signed('{"image": "b", "failure": {"kind": "odd", "reason": ""}, "seconds": 1'), 2),
    "image that is no text": (signed(f'{{"image": 7, {SIZE}, "seconds": 1'), 2),
    "image without a name": (signed(f'{{"image": "", {SIZE}, "seconds": 1'), 2),
    "half a character": (signed(f'{{"image": "\\ud800", {SIZE}, "seconds": 1'), 2),
    "endless seconds": (signed(f'{{"image": "b", {SIZE}, "seconds": 1{"0" * 400}'), 2),
    "seconds that are no number": (signed(f'{{"image": "b", {SIZE}, "seconds": NaN'), 2),
    "seconds below zero": (signed(f'{{"image": "b", {SIZE}, "seconds": -1'), 2),
    "value nested too deep": (signed('{"image": "b", "value": ' + "[" * 100_000 + ', "seconds": 1'), 2),
    "wrong check sum": (encode(value(2)).replace(b'"width"', b'"wider"'), 2),
    "no line end": (b" " * (MAX_LINE_BYTES + 1), 2),
}


@pytest.mark.parametrize(("line", "number"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_segment_with_a_hostile_record_is_named_and_nothing_of_it_comes_in(
    here: Store, there: Store, tmp_path: Path, line: bytes, number: int
):
    shared = SharedCache(str(tmp_path / "shared"))
    path = put(here, value(1))
    push(here, shared, KEY)
    shared.put(FOLDER, path.name, path.read_bytes() + line)
    moved = pull(there, shared, KEY, STAGE)
    assert (moved.segments, moved.damaged) == (0, ((shared.address(FOLDER, path.name), number),))
    assert not list(there.root.rglob("*.jsonl"))
    assert there.results(STAGE, KEY) == {}


def test_a_good_line_made_by_hand_comes_in_so_that_the_hostile_ones_prove_something(
    here: Store, there: Store, tmp_path: Path
):
    shared = SharedCache(str(tmp_path / "shared"))
    path = put(here, value(1))
    push(here, shared, KEY)
    shared.put(FOLDER, path.name, path.read_bytes() + signed(f'{{"image": "b", {SIZE}, "seconds": 1'))
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert there.results(STAGE, KEY)["b"] == Record("b", SizeValue(width=1, height=1), 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_of_an_object_damaged_anywhere_only_what_was_put_comes_in(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    root = tmp_path_factory.mktemp("damaged")
    records = [value(number, number) for number in range(4)]
    path, shared, store = (
        put(Store(root / "here"), *records),
        SharedCache(str(root / "shared")),
        Store(root / "there"),
    )
    push(Store(root / "here"), shared, KEY)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    shared.put(FOLDER, path.name, bytes(content))
    moved = pull(store, shared, KEY, STAGE)
    expected = {} if moved.damaged else {record.image: record for record in records[: content.count(b"\n")]}
    assert store.results(STAGE, KEY) == expected
    assert moved.damaged or content.endswith(b"\n")


def test_a_value_that_another_machine_computed_stands_in_for_a_failure_here(
    here: Store, there: Store, tmp_path: Path
):
    shared = SharedCache(str(tmp_path / "shared"))
    failure = Failure(kind=FailureKind.PERMANENT, reason="no picture")
    put(here, value(1, 7), value(2, 7), Record(value(3).image, failure, 0.5))
    put(there, Record(value(1).image, failure, 0.5), value(3, 1))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    assert there.results(STAGE, KEY) == {one.image: one for one in (value(1, 7), value(2, 7), value(3, 1))}


# What goes wrong with the server.


@pytest.mark.parametrize("fault", ["503", "cut put", "cut get", "slow"])
def test_what_passes_is_tried_again_and_no_half_object_is_seen(
    fault: str, server: Server, here: Store, there: Store
):
    path = put(here, *(value(number) for number in range(50)))
    server.faults = [Fault(fault, path="jsonl", times=2, seconds=0.2)]
    assert push(here, SharedCache(URL), KEY).segments == 1
    assert list(objects(".jsonl").values()) == [path.read_bytes()]
    assert pull(there, SharedCache(URL), KEY, STAGE).segments == 1
    assert len(read_numbers(there)) == 50


@pytest.mark.parametrize("fault", [Fault("503", "PUT"), Fault("cut put", "PUT"), Fault("403", "PUT")])
def test_what_does_not_pass_leaves_nothing_half_put(fault: Fault, server: Server, here: Store):
    paths = [put(here, *(value(10 * n + m) for m in range(9))) for n in range(3)]
    server.faults = [fault]
    with pytest.raises(Exception, match=r".") as caught, SharedCache(URL).as_user_errors():
        push(here, SharedCache(URL), KEY)
    assert isinstance(caught.value, MissingError)
    assert objects(".jsonl") == {}
    server.faults = []
    assert push(here, SharedCache(URL), KEY).segments == len(paths)


def test_broken_in_the_middle_of_a_get_nothing_half_comes_in(server: Server, here: Store, there: Store):
    put(here, *(value(number) for number in range(50)))
    push(here, SharedCache(URL), KEY)
    server.faults = [Fault("cut get", "GET", "jsonl")]
    with pytest.raises(MissingError), SharedCache(URL).as_user_errors():
        pull(there, SharedCache(URL), KEY, STAGE)
    assert [path.name for path in there.folder(KEY).iterdir()] == ["stage.json"]
    server.faults = []
    assert pull(there, SharedCache(URL), KEY, STAGE).segments == 1


def test_machines_that_write_fetch_and_bring_together_in_any_order_agree_in_the_end(
    shared: SharedCache, tmp_path: Path
):
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
            list(compaction.compact(shared, tmp_path))
    for store in stores:
        push(store, shared, KEY)
    for store in stores:
        pull(store, shared, KEY, STAGE)
        assert read_numbers(store) == written
        assert push(store, shared, KEY) == Transfer()
