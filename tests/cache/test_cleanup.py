"""Cleanup: it keeps the last used key of each stage and every key that a process writes to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.cleanup import choose_keys, plan_cleanup, remove
from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import push
from ita_pipeline.cache.store import KeyUsage, Store
from tests.support import segments
from tests.support.fakes import SizeConfig, SizeStage, SizeValue

RECORD = Record("a", SizeValue(width=1, height=1), 0.1)


def key(times: int) -> StageKey:
    return stage_key(SizeStage(SizeConfig(times=times)), {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with three keys of one stage, the first used longest ago."""
    made = Store(tmp_path)
    for times in (1, 2, 3):
        with made.open_writer(key(times)) as writer:
            writer.append([RECORD])
        os.utime(made.folder(key(times)) / "stage.json", (times, times))
    return made


def there(store: Store) -> set[str]:
    return {holding.key.hexdigest for holding in store.list_keys()}


def test_the_keys_used_last_are_kept(store: Store):
    removal = plan_cleanup(store, keep=2)
    assert [holding.key for holding in removal.removed] == [key(1)]
    assert [holding.key for holding in remove(store, removal)] == [key(1)]
    assert there(store) == {key(2).hexdigest, key(3).hexdigest}
    assert not store.folder(key(1)).exists()


def test_keys_used_longest_ago_are_removed_until_the_rest_fits(store: Store):
    (one, *_) = store.list_keys()
    assert [h.key for h in plan_cleanup(store, max_bytes=3 * one.size).removed] == []
    assert [h.key for h in plan_cleanup(store, max_bytes=2 * one.size).removed] == [key(1)]
    removal = plan_cleanup(store, max_bytes=0)
    assert [h.key for h in removal.removed] == [key(1), key(2)]
    assert (removal.removed_bytes, removal.kept_bytes) == (2 * one.size, one.size)


def test_a_key_that_a_process_writes_to_is_not_removed(store: Store):
    with store.open_writer(key(1)) as writer:
        writer.append([RECORD])
        os.utime(store.folder(key(1)) / "stage.json", (1, 1))
        assert list(remove(store, plan_cleanup(store, keep=2))) == []
    assert key(1).hexdigest in there(store)


def test_a_key_is_in_use_as_soon_as_a_writer_is_open(store: Store):
    with store.open_writer(key(1)):
        assert [h.key for h in plan_cleanup(store, keep=2).removed] == [key(2)]


def test_an_interrupted_removal_brings_no_replaced_record_back(store: Store, monkeypatch: pytest.MonkeyPatch):
    with store.open_writer(key(1), replace=True) as writer:
        writer.append([Record("a", SizeValue(width=9, height=9), 0.1)])
    (usage,) = (usage for usage in store.list_keys() if usage.key == key(1))
    real, calls = Path.unlink, []

    def once(path: Path, missing_ok: bool = False) -> None:
        if calls:
            raise OSError(5, "Input/output error")
        calls.append(path)
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", once)
    with pytest.raises(OSError, match="Input"):
        store.remove_key(usage)
    (record,) = Store(store.root).results(SizeStage(), key(1)).values()
    assert record.result == SizeValue(width=9, height=9)


def test_leftovers_of_crashes_are_removed_and_recent_files_are_kept(store: Store):
    folder = store.folder(key(1))
    half, old, young = folder / "x.making", folder / ".stage.json.old", folder / ".stage.json.young"
    for path in (half, old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert store.find_leftovers() == [old, half]
    assert list(remove(store, plan_cleanup(store, keep=9))) == []
    assert (half.exists(), old.exists(), young.exists()) == (False, False, True)


sizes = st.integers(0, 100)
made = st.lists(st.tuples(st.sampled_from("abc"), sizes, st.integers(0, 1000)), max_size=8)


@given(made, st.none() | st.integers(1, 4), st.none() | st.integers(0, 300))
def test_every_key_is_kept_or_removed_and_no_more_than_necessary(
    found: list[tuple[str, int, int]], keep: int | None, most: int | None
):
    all_ = [
        KeyUsage(StageKey(stage, {}, f"{n:064x}"), Path(f"{stage}{n}"), 1, 0, 1, size, used + n / 100)
        for n, (stage, size, used) in enumerate(found)
    ]
    removal = choose_keys(all_, keep, most)
    assert sorted(h.folder for h in (*removal.removed, *removal.kept)) == sorted(h.folder for h in all_)
    last = {max((h for h in all_ if h.key.stage == stage), key=lambda h: h.used).folder for stage, *_ in found}
    assert last <= {h.folder for h in removal.kept}
    for stage in "abc":
        gone = [h.used for h in removal.removed if h.key.stage == stage]
        kept = [h.used for h in removal.kept if h.key.stage == stage]
        assert not gone or not kept or max(gone) <= min(kept)
        assert keep is None or len(kept) <= keep
    if most is not None and removal.kept_bytes > most:
        assert {h.folder for h in removal.kept} == last
    if keep is None and most is not None and removal.removed:
        assert removal.kept_bytes + removal.removed[-1].size > most


def test_cleanup_of_a_shared_cache_removes_the_key_used_longest_ago(shared: SharedCache, here: Store):
    segments.put(here, segments.value(1))
    other = stage_key(SizeStage(segments.STAGE.config.model_copy(update={"times": 2})), {})
    with here.open_writer(other) as writer:
        writer.append([segments.value(1)])
    push(here, shared, other)
    push(here, shared, segments.KEY)
    found = {holding.key.hexdigest: holding for holding in shared.list_keys()}
    assert found[segments.KEY.hexdigest].segments == 1
    removal = plan_cleanup(shared, keep=1)
    (gone,) = removal.removed
    list(remove(shared, removal))
    assert gone.folder.as_posix() not in shared.list_folders()
    assert len(shared.list_folders()) == 1
