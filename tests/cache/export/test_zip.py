"""Archives of a cache: everything arrives, nothing that is there changes, and no file is trusted."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.cleanup import plan_garbage
from ita_pipeline.cache.export.zip import CLOSING_FILE, SCHEMA, export, import_archive
from ita_pipeline.cache.keys import StageKey, digest, stage_key
from ita_pipeline.cache.records import LONGEST_LINE, Record, encode
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeConfig, SizeStage, SizeValue

STAGE = SizeStage()
KEY = stage_key(STAGE, {})
OTHER = stage_key(SizeStage(SizeConfig(times=2)), {})
TYPES = {"size": SizeStage}
PLACE = f"size/{KEY.short}"


def value(image: str, width: int = 1) -> Record:
    return Record(image, SizeValue(width=width, height=1), 0.5)


def failure(image: str) -> Record:
    return Record(image, Failure(kind=FailureKind.PERMANENT, reason="no picture"), 0.5)


def put(store: Store, *found: Record, key: StageKey = KEY, anew: bool = False) -> Path:
    with store.writer(key, anew) as writer:
        writer.append(list(found))
    return writer.path


def test_everything_arrives_and_arrives_once(tmp_path: Path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    put(here, value("a", 1), failure("b"))
    put(here, value("a", 2), anew=True)
    put(here, value("c"), key=OTHER)
    made = export(here, tmp_path / "cache.zip")
    assert (made.keys, made.records) == (2, 3)
    first = import_archive(there, tmp_path / "cache.zip", TYPES)
    assert sorted((item.added, item.known) for item in first) == [(1, 0), (2, 0)]
    assert there.results(STAGE, KEY) == here.results(STAGE, KEY)
    assert there.results(STAGE, KEY)["a"] == value("a", 2)
    again = import_archive(there, tmp_path / "cache.zip", TYPES)
    assert sum(item.added for item in again) == 0
    assert len(list((tmp_path / "there").glob("cache/size/*/*.jsonl"))) == 2


def test_what_was_brought_in_is_not_in_use_by_that(tmp_path: Path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    put(here, value("a"))
    put(there, value("a"), key=OTHER)
    export(here, tmp_path / "cache.zip")
    import_archive(there, tmp_path / "cache.zip", TYPES)
    assert [holding.key for holding in plan_garbage(there, keep=1).gone] == [KEY]


def test_an_index_that_cannot_be_written_exports_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(Store(tmp_path / "here"), value("a"))
    put(Store(tmp_path / "here"), value("b"), key=OTHER)
    store = Store(tmp_path / "here")
    store.index.database.execute("PRAGMA query_only = ON")
    assert export(store, tmp_path / "cache.zip").records == 2


def test_equal_caches_give_equal_archives_and_only_the_stages_asked_for(tmp_path: Path):
    store = Store(tmp_path / "here")
    put(store, value("a"))
    export(store, tmp_path / "one.zip")
    export(store, tmp_path / "two.zip", ["size"])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with pytest.raises(UsageError, match="no record of ocr"):
        export(store, tmp_path / "three.zip", ["ocr"])
    with pytest.raises(UsageError, match="exists"):
        export(store, tmp_path / "one.zip")


def test_what_is_here_does_not_change_but_a_value_mends_a_failure(tmp_path: Path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    put(here, value("a", 7), value("b", 7), failure("c"), failure("d"))
    put(there, value("a", 1), failure("b"), value("c", 1))
    export(here, tmp_path / "cache.zip")
    (item,) = import_archive(there, tmp_path / "cache.zip", TYPES)
    assert (item.added, item.known) == (2, 2)
    found = there.results(STAGE, KEY)
    assert found == {"a": value("a", 1), "b": value("b", 7), "c": value("c", 1), "d": failure("d")}


def test_unpacked_by_hand_it_is_a_cache(tmp_path: Path):
    put(Store(tmp_path / "here"), value("a"))
    export(Store(tmp_path / "here"), tmp_path / "cache.zip")
    with zipfile.ZipFile(tmp_path / "cache.zip") as archive:
        archive.extractall(tmp_path / "there" / "cache")
    assert Store(tmp_path / "there").results(STAGE, KEY) == {"a": value("a")}


def test_a_damaged_cache_is_not_exported(tmp_path: Path):
    path = put(Store(tmp_path / "here"), value("a"), value("b"))
    path.write_bytes(path.read_bytes().replace(b'"width"', b'"wider"', 1))
    with pytest.raises(CorruptCacheError):
        export(Store(tmp_path / "here"), tmp_path / "cache.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def description(components: Mapping[str, object] = KEY.components, key: str = KEY.hexdigest) -> bytes:
    return json.dumps({"key": key, "components": components}).encode()


def pack(file: Path, parts: Mapping[str, bytes], keys: int = 1) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr(CLOSING_FILE, json.dumps({"schema": SCHEMA, "keys": keys}))
    return file


LINE = encode(value("a"))
GOOD = {f"{PLACE}/stage.json": description(), f"{PLACE}/records.jsonl": LINE}


def with_description(content: bytes) -> dict[str, bytes]:
    return {**GOOD, f"{PLACE}/stage.json": content}


def with_records(content: bytes) -> dict[str, bytes]:
    return {**GOOD, f"{PLACE}/records.jsonl": content}


def signed(text: str) -> bytes:
    return text.encode() + b', "crc": "%08x"}\n' % zlib.crc32(text.encode())


SIZE = '"value": {"width": 1, "height": 1}'
WRONG = {
    "up": ({**GOOD, "../../evil.jsonl": LINE}, "which no cache has"),
    "root": ({**GOOD, "/etc/evil": LINE}, "which no cache has"),
    "odd name": ({**GOOD, f"{PLACE}/x.sh": LINE}, "which no cache has"),
    "no records": ({f"{PLACE}/stage.json": description()}, "it has no"),
    "a list": (with_description(b"[1]"), "not a description"),
    "deep": (with_description(b"[" * 200_000), "not a sound archive"),
    "long": (with_description(b"{" + b" " * 2_000_000), "longer than any description"),
    "other digest": (with_description(description(key="0" * 64)), "not that of what it says"),
    "other version": (with_description(description({**KEY.components, "version": 9})), "not that of what it says"),
    "other stage": ({name.replace("size/", "other/"): GOOD[name] for name in GOOD}, "not that of what it says"),
    "damaged": (with_records(LINE.replace(b'"width"', b'"wider"')), "line 1: not what was written"),
    "other value": (with_records(LINE + signed('{"image": "b", "value": {"x": 1}, "seconds": 1')), "line 2"),
    "no image": (with_records(signed(f'{{"image": 7, {SIZE}, "seconds": 1')), "not a record"),
    "half a character": (with_records(signed(f'{{"image": "\\ud800", {SIZE}, "seconds": 1')), "not a record"),
    "no group": (
        with_description(description({**KEY.components, "models": 5}, digest({**KEY.components, "models": 5}))),
        "describes no key",
    ),
    "for ever": (with_records(signed(f'{{"image": "a", {SIZE}, "seconds": 1{"0" * 400}')), "not a record"),
    "no time": (with_records(signed(f'{{"image": "a", {SIZE}, "seconds": NaN')), "not a record"),
    "deep value": (with_records(signed('{"image": "a", "value": ' + "[" * 100_000 + ', "seconds": 1')), "line 1"),
    "no line ends": (with_records(b" " * (LONGEST_LINE + 1)), "line 1"),
}


@pytest.mark.parametrize(("parts", "says"), WRONG.values(), ids=WRONG.keys())
def test_whatever_is_wrong_is_one_sentence_and_nothing_comes_in(
    tmp_path: Path, parts: Mapping[str, bytes], says: str
):
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match=says) as caught:
        import_archive(store, pack(tmp_path / "bad.zip", parts), TYPES)
    assert str(tmp_path / "bad.zip") in str(caught.value)
    assert not list(tmp_path.glob("store/cache/**/*.jsonl"))


def test_records_of_another_version_of_a_stage_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put(Store(tmp_path / "here"), value("a"))
    monkeypatch.setattr(SizeStage, "version", 2)
    put(Store(tmp_path / "here"), value("b"), key=stage_key(SizeStage(), {}))
    export(Store(tmp_path / "here"), tmp_path / "cache.zip")
    found = import_archive(Store(tmp_path / "there"), tmp_path / "cache.zip", TYPES)
    assert {item.key.hexdigest: (item.added, item.other_version) for item in found} == {
        KEY.hexdigest: (0, True),
        stage_key(SizeStage(), {}).hexdigest: (1, False),
    }
    assert Store(tmp_path / "there").results(STAGE, KEY) == {}


def test_a_good_hand_made_archive_is_let_in_so_that_the_bad_ones_prove_something(tmp_path: Path):
    (item,) = import_archive(Store(tmp_path / "store"), pack(tmp_path / "good.zip", GOOD), TYPES)
    assert item.added == 1


def test_an_archive_that_swells_is_refused_by_its_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ita_pipeline.cache.export.zip.MOST_UNPACKED", 1024**2)
    parts = {**GOOD, f"size/{OTHER.short}/records.jsonl": b"\0" * 2 * 1024**2}
    with pytest.raises(UsageError, match="200 times its size"):
        import_archive(Store(tmp_path / "store"), pack(tmp_path / "bomb.zip", parts), TYPES)


def test_an_unknown_stage_an_unfinished_archive_and_no_archive(tmp_path: Path):
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match="the stage size"):
        import_archive(store, pack(tmp_path / "a.zip", GOOD), {})
    with pytest.raises(UsageError, match="incomplete"):
        import_archive(store, pack(tmp_path / "b.zip", GOOD, keys=2), TYPES)
    with pytest.raises(UsageError, match="no file"):
        import_archive(store, tmp_path / "none.zip", TYPES)
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(UsageError, match="not a sound archive"):
        import_archive(store, tmp_path / "text.zip", TYPES)


WANTED = {name: value(name, number) for number, name in enumerate("abcd")}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("exported")
    put(Store(root), *WANTED.values())
    export(Store(root), root / "cache.zip")
    return (root / "cache.zip").read_bytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_brings_in_nothing_or_what_was_exported(
    exported: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    content = bytearray(exported)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("damaged")
    (root / "cache.zip").write_bytes(bytes(content))
    store = Store(root)
    try:
        import_archive(store, root / "cache.zip", TYPES)
    except UsageError:
        assert store.results(STAGE, KEY) == {}
    else:
        assert store.results(STAGE, KEY) == WANTED
