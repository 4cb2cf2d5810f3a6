"""Transfer of damaged and hostile segments: each is reported, and nothing wrong is pulled or pushed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.compaction import compact, compact_shared
from ita_pipeline.cache.records import MAX_LINE_BYTES, Record, encode
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import pull, push
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import verify_segments
from ita_pipeline.core.errors import CorruptCacheError
from tests.support.fakes import SizeValue
from tests.support.segments import FOLDER, KEY, STAGE, put, read_numbers, signed, spoil, value


@pytest.mark.parametrize("how", ["flipped", "cut", "no record", "empty"])
def test_a_damaged_object_is_reported_and_skipped_until_it_is_repaired(
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
        list(compact_shared(shared, tmp_path))
    assert set(shared.list_folder(FOLDER).segments) == {path.name, good.name}
    list(compact_shared(shared, tmp_path, drop_damaged=True))
    assert verify_segments(shared.fetch_segments(tmp_path)).damage == ()
    assert pull(there, shared, KEY, STAGE).damaged == ()
    assert push(here, shared, KEY).segments == 1
    pull(there, shared, KEY, STAGE)
    assert read_numbers(there) == {1, 2, 3}


def test_local_damage_is_not_pushed_and_is_repaired_by_a_pull(shared: SharedCache, here: Store, there: Store):
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


def test_objects_without_the_name_of_a_segment_are_ignored(shared: SharedCache, here: Store, there: Store):
    put(here, value(1))
    push(here, shared, KEY)
    for name in ("x.jsonl", "evil.sh", ".hidden", "merged-0000000000000000.json"):
        shared.put(FOLDER, name, b"hello\n")
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert len(list(there.folder(KEY).iterdir())) == 2


def signed_line(text: str) -> bytes:
    return signed(text) + b"\n"


SIZE = '"value": {"width": 1, "height": 1}'


HOSTILE = {
    "value of another shape": (signed_line('{"image": "b", "value": {"x": 1}, "seconds": 1'), 2),
    "neither value nor failure": (signed_line('{"image": "b", "seconds": 1'), 2),
    "failure of no kind": (signed_line('{"image": "b", "failure": {"kind": "odd", "reason": ""}, "seconds": 1'), 2),
    "image that is no text": (signed_line(f'{{"image": 7, {SIZE}, "seconds": 1'), 2),
    "image without a name": (signed_line(f'{{"image": "", {SIZE}, "seconds": 1'), 2),
    "half a character": (signed_line(f'{{"image": "\\ud800", {SIZE}, "seconds": 1'), 2),
    "endless seconds": (signed_line(f'{{"image": "b", {SIZE}, "seconds": 1{"0" * 400}'), 2),
    "seconds that are no number": (signed_line(f'{{"image": "b", {SIZE}, "seconds": NaN'), 2),
    "seconds below zero": (signed_line(f'{{"image": "b", {SIZE}, "seconds": -1'), 2),
    "value nested too deep": (signed_line('{"image": "b", "value": ' + "[" * 100_000 + ', "seconds": 1'), 2),
    "wrong check sum": (encode(value(2)).replace(b'"width"', b'"wider"'), 2),
    "no line end": (b" " * (MAX_LINE_BYTES + 1), 2),
}


@pytest.mark.parametrize(("line", "number"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_segment_with_a_hostile_record_is_reported_and_not_pulled(
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


def test_a_valid_line_made_by_hand_is_pulled(here: Store, there: Store, tmp_path: Path):
    shared = SharedCache(str(tmp_path / "shared"))
    path = put(here, value(1))
    push(here, shared, KEY)
    shared.put(FOLDER, path.name, path.read_bytes() + signed_line(f'{{"image": "b", {SIZE}, "seconds": 1'))
    assert pull(there, shared, KEY, STAGE).segments == 1
    assert there.results(STAGE, KEY)["b"] == Record("b", SizeValue(width=1, height=1), 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_wrong_record_is_pulled_from_an_object_damaged_anywhere(
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
