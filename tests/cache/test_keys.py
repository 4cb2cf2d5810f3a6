"""Keys: equal where nothing that matters differs, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.keys import canonical_json, digest, stage_key
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=6))
def test_the_order_of_names_does_not_matter(value: dict[str, object]):
    assert digest(value) == digest(dict(reversed(value.items())))


@given(PLAIN, PLAIN)
def test_different_values_have_different_keys(one: object, other: object):
    assert (canonical_json(one) == canonical_json(other)) == (digest(one) == digest(other))


@pytest.mark.parametrize("value", [{1, 2}, frozenset("ab"), b"bytes", object(), float("nan"), float("inf")])
def test_what_has_no_canonical_text_is_refused(value: object):
    with pytest.raises((TypeError, ValueError)):
        digest({"x": value})


def test_another_process_with_another_hash_seed_makes_the_same_key():
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


def test_semantic_settings_are_in_the_key_and_execution_settings_are_not():
    usual = stage_key(SizeStage(), {}).hexdigest
    assert stage_key(SizeStage(SizeConfig(batch=99)), {}).hexdigest == usual
    assert stage_key(SizeStage(SizeConfig(times=2)), {}).hexdigest != usual


def test_version_tool_and_upstream_are_in_the_key(monkeypatch: pytest.MonkeyPatch):
    size = stage_key(SizeStage(), {})
    double = stage_key(DoubleStage(), {"size": size})
    other = stage_key(DoubleStage(), {"size": stage_key(SizeStage(SizeConfig(times=3)), {})})
    assert double.hexdigest != other.hexdigest
    monkeypatch.setattr(SizeStage, "version", 2)
    assert stage_key(SizeStage(), {}).hexdigest != size.hexdigest
