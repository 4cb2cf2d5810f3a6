"""Shared caches: descriptions and names from outside are checked before they are used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ita_pipeline.api.cache import shared_cache
from ita_pipeline.cache.keys import digest, stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import pull_all, push
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import MissingError, UsageError
from tests.support.fakes import SizeStage, SizeValue
from tests.support.s3_server import Server

KEY = stage_key(SizeStage(), {})
FOLDER = KEY.folder


@pytest.fixture
def shared(tmp_path: Path) -> SharedCache:
    """A shared cache in a folder, with one record under one key."""
    store, shared = Store(tmp_path / "here"), SharedCache(str(tmp_path / "shared"))
    with store.open_writer(KEY) as writer:
        writer.append([Record("a", SizeValue(width=1, height=1), 0.5)])
    push(store, shared, KEY)
    return shared


def description(components: Mapping[str, object] = KEY.components, key: str = KEY.hexdigest) -> bytes:
    return json.dumps({"key": key, "components": components}).encode()


def described(**changes: object) -> bytes:
    """The description of other components under their own digest."""
    components = {**KEY.components, **changes}
    return description(components, digest(components))


LIES = {
    "no JSON": b"hello",
    "a list": b"[1]",
    "nested too deep": b"[" * 200_000,
    "too long": b"{" + b" " * 2_000_000,
    "another digest": description(key="0" * 64),
    "another version": description({**KEY.components, "version": 9}),
    "another stage": described(stage="other"),
    "another key of the stage": described(version=9),
    "a group that is no group": described(models=5),
    "half a character": described(models={"\ud800": 1}),
}


def test_a_key_is_read_from_its_description(shared: SharedCache):
    assert shared.read_key(FOLDER) == KEY
    assert shared.list_folders() == [FOLDER]


@pytest.mark.parametrize("content", LIES.values(), ids=LIES.keys())
def test_a_description_that_contradicts_its_key_is_rejected(shared: SharedCache, tmp_path: Path, content: bytes):
    shared.put(FOLDER, "stage.json", content)
    assert shared.read_key(FOLDER) is None
    store = Store(tmp_path / "there")
    assert list(pull_all(store, shared, {"size": SizeStage})) == []
    assert not list(store.root.rglob("*.jsonl"))


def test_records_in_the_folder_of_another_stage_are_not_pulled(shared: SharedCache, tmp_path: Path):
    (tmp_path / "shared/size").rename(tmp_path / "shared/other")
    store = Store(tmp_path / "there")
    assert list(pull_all(store, shared, {"size": SizeStage, "other": SizeStage})) == []


def test_folders_that_are_not_keys_are_ignored(shared: SharedCache, tmp_path: Path):
    for name in ("size/evil", "Size/0123456789abcdef", "size/0123456789ABCDEF", "..a/0123456789abcdef"):
        folder = tmp_path / "shared" / name
        folder.mkdir(parents=True)
        (folder / "stage.json").write_bytes(description())
    assert shared.list_folders() == [FOLDER]


def test_a_wrong_address_is_a_usage_error(server: Server):
    wrong = SharedCache("s3://no-such-bucket/x")
    with pytest.raises(MissingError, match="there is nothing at s3://no-such-bucket"), wrong.as_user_errors():
        wrong.list_folder(FOLDER)
    for url in ("s3://", "nope://x/y"):
        with pytest.raises(UsageError):
            SharedCache(url)
    with pytest.raises(UsageError, match="no shared cache is set"):
        shared_cache()
