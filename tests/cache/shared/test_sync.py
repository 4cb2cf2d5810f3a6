"""Segments put and fetched: each once, whole, none damaged; over a real S3 server, memory and a folder."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.api.cache import shared_cache
from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.records import LONGEST_LINE, Record, encode
from ita_pipeline.cache.shared import maintenance as shared_upkeep
from ita_pipeline.cache.shared import sync as transfer
from ita_pipeline.cache.shared.store import Place, Shared
from ita_pipeline.cache.shared.sync import Moved, pull, push
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError, MissingError, UsageError
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeStage, SizeValue
from tests.support.s3_server import URL, Fault, Server, emptied, objects, s3_server

STAGE = SizeStage()
KEY = stage_key(STAGE, {})
PLACE = Place.of(KEY)


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    emptied()
    one_server.requests.clear()
    yield one_server
    one_server.faults.clear()


@pytest.fixture(params=["s3", "memory", "file"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    if request.param == "s3":
        request.getfixturevalue("server")
        return Shared(URL)
    if request.param == "memory":
        return Shared(f"memory://{tmp_path.name}/ita-cache")
    return Shared(f"file://{tmp_path}/mnt/ita-cache")


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")


def value(number: int, width: int = 1) -> Record:
    return Record(f"{number:064x}", SizeValue(width=width, height=1), 0.5)


def put(store: Store, *found: Record, anew: bool = False) -> Path:
    with store.writer(KEY, anew) as writer:
        writer.append(list(found))
    return writer.path


def seen(store: Store) -> set[int]:
    return {int(image, 16) for image in store.results(STAGE, KEY)}


def test_what_one_machine_puts_another_fetches_and_neither_does_it_twice(shared: Shared, here: Store, there: Store):
    path = put(here, value(1), value(2))
    assert push(here, shared, KEY) == Moved(1, path.stat().st_size)
    assert push(here, shared, KEY) == Moved()
    assert pull(there, shared, KEY, STAGE) == Moved(1, path.stat().st_size)
    assert pull(there, shared, KEY, STAGE) == Moved()
    assert there.results(STAGE, KEY) == here.results(STAGE, KEY)
    assert push(there, shared, KEY) == Moved()
    assert (there.folder(KEY) / path.name).read_bytes() == path.read_bytes()
    assert shared.key(PLACE) == KEY
    assert shared.places() == [PLACE]


def test_a_later_generation_comes_too_and_outranks(shared: Shared, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    put(there, value(1, 9), anew=True)
    push(there, shared, KEY)
    assert pull(here, shared, KEY, STAGE).segments == 1
    assert here.results(STAGE, KEY) == {value(1).image: value(1, 9)}


def test_what_was_brought_together_is_neither_fetched_nor_put_again(shared: Shared, here: Store, there: Store):
    for number in range(3):
        put(here, value(number))
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    list(compact(here))
    assert push(here, shared, KEY) == Moved()
    assert pull(here, shared, KEY, STAGE) == Moved()
    put(here, value(3))
    list(compact(here))
    assert push(here, shared, KEY).segments == 1
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert seen(there) == {0, 1, 2, 3}


def test_a_shared_cache_is_brought_together_and_nobody_fetches_it_again(
    shared: Shared, here: Store, there: Store, tmp_path: Path
):
    for number in range(5):
        put(here, value(number))
    put(here, value(0, 9), anew=True)
    push(here, shared, KEY)
    pull(there, shared, KEY, STAGE)
    ((address, done),) = shared_upkeep.compact(shared, tmp_path)
    assert (address, done.segments, done.records) == (shared.address(PLACE), 5, 4)
    assert len(shared.listing(PLACE).segments) == 2
    assert list(shared_upkeep.compact(shared, tmp_path)) == []
    for store in (here, there):
        assert pull(store, shared, KEY, STAGE) == Moved()
        assert push(store, shared, KEY) == Moved()
    third = Store(tmp_path / "third")
    assert pull(third, shared, KEY, STAGE).segments == 2
    assert third.results(STAGE, KEY) == here.results(STAGE, KEY)


def test_small_objects_stay_few(server: Server, here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "MANY_THERE", 6)
    shared = Shared(URL)
    for number in range(20):
        put(here, value(number))
        if push(here, shared, KEY).crowded:
            shared_upkeep.bring_many_together(shared, KEY, tmp_path)
        assert len(shared.listing(PLACE).segments) <= 6
    third = Store(tmp_path / "third")
    pull(third, shared, KEY, STAGE)
    assert seen(third) == set(range(20))


def test_what_vanishes_after_it_was_listed_is_listed_again(
    server: Server, here: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared, real, turns = Shared(URL), transfer.compare, []
    for number in range(4):
        put(here, value(number))
    push(here, shared, KEY)

    def compare(store: Store, at: Shared, place: Place) -> transfer.Compared:
        found = real(store, at, place)
        if not turns:
            turns.append(list(shared_upkeep.compact(shared, tmp_path)))
        return found

    monkeypatch.setattr(transfer, "compare", compare)
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert seen(there) == {0, 1, 2, 3}


def test_a_segment_is_put_when_nobody_appends_to_it_and_without_a_torn_end(
    shared: Shared, here: Store, there: Store
):
    with here.writer(KEY) as writer:
        writer.append([value(1)])
        assert push(here, shared, KEY) == Moved()
    with writer.path.open("ab") as opened:
        opened.write(b'{"image": "half')
    assert push(here, shared, KEY).segments == 1
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert (there.folder(KEY) / writer.path.name).read_bytes().endswith(b"}\n")


def spoilt(content: bytes, how: str) -> bytes:
    if how == "flipped":
        return content.replace(b'"width": 1', b'"width": 7', 1)
    if how == "cut":
        return content[: len(content) * 2 // 3]
    if how == "no record":
        return b'{"hello": 1, "crc": "00000000"}\n'
    return b""


@pytest.mark.parametrize("how", ["flipped", "cut", "no record", "empty"])
def test_a_damaged_object_is_named_and_left_out_until_it_is_mended(
    how: str, shared: Shared, here: Store, there: Store, tmp_path: Path
):
    path, good = put(here, value(1), value(2)), put(here, value(3))
    push(here, shared, KEY)
    shared.put(PLACE, path.name, spoilt(path.read_bytes(), how))
    for _ in range(2):
        moved = pull(there, shared, KEY, STAGE)
        ((address, _),) = moved.damaged
        assert address == f"{shared.url}/size/{KEY.short}/{path.name}"
        assert seen(there) == {3}
    assert shared_upkeep.verify(shared, tmp_path).damage[0].segment == address
    with pytest.raises(CorruptCacheError, match=path.name):
        list(shared_upkeep.compact(shared, tmp_path))
    assert set(shared.listing(PLACE).segments) == {path.name, good.name}
    list(shared_upkeep.compact(shared, tmp_path, drop_damaged=True))
    assert shared_upkeep.verify(shared, tmp_path).damage == ()
    assert pull(there, shared, KEY, STAGE).damaged == ()
    assert push(here, shared, KEY).segments == 1
    pull(there, shared, KEY, STAGE)
    assert seen(there) == {1, 2, 3}


def test_what_is_damaged_here_is_not_spread_and_comes_back_whole(shared: Shared, here: Store, there: Store):
    path = put(here, value(1), value(2))
    push(here, shared, KEY)
    path.write_bytes(spoilt(path.read_bytes(), "flipped"))
    list(compact(here, drop_damaged=True))
    assert seen(here) == {2}
    assert pull(here, shared, KEY, STAGE).segments == 1
    assert seen(here) == {1, 2}
    other = put(there, value(5))
    other.write_bytes(spoilt(other.read_bytes(), "flipped"))
    assert push(there, shared, KEY).damaged == ((str(other), 1),)
    assert other.name not in shared.listing(PLACE).segments


def test_what_came_from_one_shared_cache_goes_to_another_at_once(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = Shared(str(tmp_path / "one")), Shared(str(tmp_path / "other"))
    put(Store(tmp_path / "far"), value(1))
    push(Store(tmp_path / "far"), one, KEY)
    monkeypatch.setattr(transfer, "host_name", lambda: "elsewhere")
    assert pull(here, one, KEY, STAGE).segments == 1
    assert push(here, other, KEY).segments == 1
    mine = put(here, value(2))
    assert push(here, other, KEY) == Moved()  # who knows whether its host still writes to it
    os.utime(mine, (1, 1))
    assert push(here, other, KEY).segments == 1


def test_several_at_once_end_with_the_first_error_and_keep_their_order():
    assert transfer.in_turn(lambda number: number * 2, list(range(50))) == list(range(0, 100, 2))
    assert transfer.in_turn(str, []) == []

    def fail(number: int) -> int:
        if number == 7:
            raise OSError("seven")
        return number

    with pytest.raises(OSError, match="seven"):
        transfer.in_turn(fail, list(range(50)))


def test_names_that_are_no_segments_are_left_alone(shared: Shared, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    for name in ("x.jsonl", "evil.sh", ".hidden", "merged-0000000000000000.json"):
        shared.put(PLACE, name, b"hello\n")
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert len(list(there.folder(KEY).iterdir())) == 2


def test_what_was_not_used_for_long_goes(shared: Shared, here: Store, tmp_path: Path):
    put(here, value(1))
    other = stage_key(SizeStage(STAGE.config.model_copy(update={"times": 2})), {})
    with here.writer(other) as writer:
        writer.append([value(1)])
    push(here, shared, other)
    push(here, shared, KEY)
    found = {holding.key.hexdigest: holding for holding in shared_upkeep.holdings(shared)}
    assert found[KEY.hexdigest].segments == 1
    removal = shared_upkeep.plan_garbage(shared, keep=1)
    (gone,) = removal.gone
    list(shared_upkeep.remove(shared, removal))
    assert gone.folder.parts[1] not in {place.short for place in shared.places()}
    assert len(shared.places()) == 1


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
    "no line end": (b" " * (LONGEST_LINE + 1), 2),
}


@pytest.mark.parametrize(("line", "number"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_segment_with_a_hostile_record_is_named_and_nothing_of_it_comes_in(
    here: Store, there: Store, tmp_path: Path, line: bytes, number: int
):
    shared = Shared(str(tmp_path / "shared"))
    path = put(here, value(1))
    push(here, shared, KEY)
    shared.put(PLACE, path.name, path.read_bytes() + line)
    moved = pull(there, shared, KEY, STAGE)
    assert (moved.segments, moved.damaged) == (0, ((shared.address(PLACE, path.name), number),))
    assert not list(there.root.rglob("*.jsonl"))
    assert there.results(STAGE, KEY) == {}


def test_a_good_line_made_by_hand_comes_in_so_that_the_hostile_ones_prove_something(
    here: Store, there: Store, tmp_path: Path
):
    shared = Shared(str(tmp_path / "shared"))
    path = put(here, value(1))
    push(here, shared, KEY)
    shared.put(PLACE, path.name, path.read_bytes() + signed(f'{{"image": "b", {SIZE}, "seconds": 1'))
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert there.results(STAGE, KEY)["b"] == Record("b", SizeValue(width=1, height=1), 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_of_an_object_damaged_anywhere_only_what_was_put_comes_in(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    root = tmp_path_factory.mktemp("damaged")
    records = [value(number, number) for number in range(4)]
    path, shared, store = put(Store(root / "here"), *records), Shared(str(root / "shared")), Store(root / "there")
    push(Store(root / "here"), shared, KEY)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    shared.put(PLACE, path.name, bytes(content))
    moved = pull(store, shared, KEY, STAGE)
    expected = {} if moved.damaged else {record.image: record for record in records[: content.count(b"\n")]}
    assert store.results(STAGE, KEY) == expected
    assert moved.damaged or content.endswith(b"\n")


def test_keys_of_another_version_and_of_stages_that_are_not_installed_are_left_out_and_named(
    here: Store, there: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared = Shared(str(tmp_path / "shared"))
    put(here, value(1))
    push(here, shared, KEY)
    monkeypatch.setattr(SizeStage, "version", 2)
    other = stage_key(SizeStage(), {})
    with here.writer(other) as writer:
        writer.append([value(2)])
    push(here, shared, other)
    pulled = {one.key.hexdigest: one for one in shared_upkeep.pull_all(there, shared, {"size": SizeStage})}
    assert pulled[KEY.hexdigest].left_out == "it is of another version of the stage"
    assert pulled[other.hexdigest].left_out == ""
    assert set(there.results(SizeStage(), other)) == {value(2).image}
    assert there.results(STAGE, KEY) == {}
    left_out = {one.left_out for one in shared_upkeep.pull_all(there, shared, {})}
    assert left_out == {"that stage is not installed"}
    assert list(shared_upkeep.pull_all(there, shared, {"size": SizeStage}, ["ocr"])) == []


def test_a_value_that_another_machine_computed_stands_in_for_a_failure_here(
    here: Store, there: Store, tmp_path: Path
):
    shared = Shared(str(tmp_path / "shared"))
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
    assert push(here, Shared(URL), KEY).segments == 1
    assert list(objects(".jsonl").values()) == [path.read_bytes()]
    assert pull(there, Shared(URL), KEY, STAGE).segments == 1
    assert len(seen(there)) == 50


@pytest.mark.parametrize("fault", [Fault("503", "PUT"), Fault("cut put", "PUT"), Fault("403", "PUT")])
def test_what_does_not_pass_leaves_nothing_half_put(fault: Fault, server: Server, here: Store):
    paths = [put(here, *(value(10 * n + m) for m in range(9))) for n in range(3)]
    server.faults = [fault]
    with pytest.raises(Exception, match=r".") as caught, Shared(URL).reached():
        push(here, Shared(URL), KEY)
    assert isinstance(caught.value, MissingError)
    assert objects(".jsonl") == {}
    server.faults = []
    assert push(here, Shared(URL), KEY).segments == len(paths)


def test_broken_in_the_middle_of_a_get_nothing_half_comes_in(server: Server, here: Store, there: Store):
    put(here, *(value(number) for number in range(50)))
    push(here, Shared(URL), KEY)
    server.faults = [Fault("cut get", "GET", "jsonl")]
    with pytest.raises(MissingError), Shared(URL).reached():
        pull(there, Shared(URL), KEY, STAGE)
    assert [path.name for path in there.folder(KEY).iterdir()] == ["stage.json"]
    server.faults = []
    assert pull(there, Shared(URL), KEY, STAGE).segments == 1


def test_a_wrong_place_is_one_sentence(server: Server):
    wrong = Shared("s3://no-such-bucket/x")
    with pytest.raises(UsageError, match="there is nothing at s3://no-such-bucket"), wrong.reached():
        wrong.listing(PLACE)
    for url in ("s3://", "nope://x/y"):
        with pytest.raises(UsageError):
            Shared(url)
    with pytest.raises(UsageError, match="no shared cache is set"):
        shared_cache()


def test_stopped_anywhere_bringing_together_there_loses_nothing(server: Server, here: Store, tmp_path: Path):
    """The server fails for good at the k-th change, for every k."""
    for number in range(3):
        put(here, value(number))
    put(here, value(0, 9), anew=True)
    before = here.results(STAGE, KEY)
    shared = Shared(URL)
    for after in range(30):
        shared_upkeep.remove_place(shared, PLACE)
        server.faults = []
        push(here, shared, KEY)
        faults = [Fault("403", "PUT", after=after), Fault("403", "DELETE", after=after)]
        server.faults = faults
        try:
            list(shared_upkeep.compact(shared, tmp_path))
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


def test_machines_that_write_fetch_and_bring_together_in_any_order_agree_in_the_end(shared: Shared, tmp_path: Path):
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
            list(shared_upkeep.compact(shared, tmp_path))
    for store in stores:
        push(store, shared, KEY)
    for store in stores:
        pull(store, shared, KEY, STAGE)
        assert seen(store) == written
        assert push(store, shared, KEY) == Moved()
