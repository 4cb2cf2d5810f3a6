"""Keys: equal exactly where nothing differs that decides a result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.keys import canonical_json, digest, parse_key, read_key, sort_stages, stage_key, write_key
from stages.base import Identity, StageError
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=6))
def test_a_digest_does_not_depend_on_the_order_of_names(value: dict[str, object]):
    assert digest(value) == digest(dict(reversed(value.items())))


@given(PLAIN, PLAIN)
def test_different_values_have_different_digests(one: object, other: object):
    assert (canonical_json(one) == canonical_json(other)) == (digest(one) == digest(other))


@pytest.mark.parametrize("value", [{1, 2}, frozenset("ab"), b"bytes", object(), float("nan"), float("inf")])
def test_values_without_canonical_json_are_rejected(value: object):
    with pytest.raises((TypeError, ValueError)):
        digest({"x": value})


def test_a_key_does_not_depend_on_the_hash_seed():
    code = (
        "from tests.support.fakes import SizeStage; from ita_pipeline.cache.keys import stage_key;"
        "print(stage_key(SizeStage(), {}).hexdigest)"
    )
    root = str(Path(__file__).parents[2])
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert keys == {stage_key(SizeStage(), {}).hexdigest + "\n"}


def test_only_semantic_settings_change_the_key():
    usual = stage_key(SizeStage(), {}).hexdigest
    assert stage_key(SizeStage(SizeConfig(batch=99)), {}).hexdigest == usual
    assert stage_key(SizeStage(SizeConfig(times=2)), {}).hexdigest != usual


def test_version_tools_and_upstream_keys_change_the_key(monkeypatch: pytest.MonkeyPatch):
    size = stage_key(SizeStage(), {})
    double = stage_key(DoubleStage(), {"size": size})
    other = stage_key(DoubleStage(), {"size": stage_key(SizeStage(SizeConfig(times=3)), {})})
    assert double.hexdigest != other.hexdigest
    monkeypatch.setattr(SizeStage, "version", 2)
    assert stage_key(SizeStage(), {}).hexdigest != size.hexdigest


def test_stages_that_read_each_other_in_a_cycle_are_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SizeStage, "reads", ("double",))
    with pytest.raises(ValueError, match="circle"):
        sort_stages([SizeStage(), DoubleStage()])


def test_a_description_is_read_back_and_anything_else_is_no_key(tmp_path: Path):
    key = stage_key(SizeStage(), {})
    write_key(key, tmp_path / key.folder)
    file = tmp_path / key.folder / "stage.json"
    assert read_key(file) == key
    assert parse_key(key.folder, file.read_bytes()) == key
    for content in (b"", b"[1]", b'{"key": "a", "components": {}}', b'{"key": 1, "components": {"stage": "size"}}'):
        file.write_bytes(content)
        assert read_key(file) is None
    assert read_key(tmp_path / "none" / "stage.json") is None


def test_the_description_of_a_key_is_written_once(tmp_path: Path):
    key = stage_key(SizeStage(), {})
    write_key(key, tmp_path)
    (tmp_path / "stage.json").write_text("kept")
    write_key(key, tmp_path)
    assert (tmp_path / "stage.json").read_text() == "kept"


@pytest.mark.parametrize("returned", [None, Identity(tools={"ruler": "1"})])
def test_a_stage_that_cannot_say_what_its_results_depend_on_is_an_error(
    returned: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SizeStage, "identity", lambda _: returned)
    if returned is not None:
        monkeypatch.setattr(SizeStage, "parameters", lambda _: {"a": object()})
    with pytest.raises(StageError, match="the stage size cannot say what its results depend on: "):
        stage_key(SizeStage(), {})
