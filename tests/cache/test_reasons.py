"""Reasons: the differences between two keys, as phrases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.reasons import Cause, find_changes
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage

KEY = stage_key(SizeStage(), {})


def nothing(stage: str, hexdigest: str) -> None:
    return None


def said(old: StageKey, new: StageKey, described: Any = nothing) -> list[str]:
    return [str(reason) for reason in find_changes(old, new, described)]


def altered(key: StageKey, **components: Any) -> StageKey:
    return replace(key, components={**key.components, **components})


def test_each_group_of_components_has_its_own_cause():
    assert said(KEY, KEY) == []
    assert said(KEY, stage_key(SizeStage(SizeConfig(times=5)), {})) == ["parameter times 1 → 5"]
    assert said(KEY, altered(KEY, version=2)) == ["stage version 1 → 2"]
    assert said(KEY, altered(KEY, tools={"ruler": "2"})) == ["tool ruler 1 → 2"]
    assert said(KEY, altered(KEY, models={"eye": "a"})) == ["model eye none → a"]
    assert said(KEY, altered(KEY, numerics={"dtype": "bf16"})) == ["numerics dtype none → bf16"]


def test_each_change_has_its_own_reason():
    changed = altered(KEY, version=2, parameters={"times": 3})
    assert [reason.cause for reason in find_changes(KEY, changed, nothing)] == [Cause.VERSION, Cause.PARAMETER]


def test_nested_settings_are_named_with_dots():
    old, new = altered(KEY, parameters={"a": {"b": 1, "c": 2}}), altered(KEY, parameters={"a": {"b": 1, "c": 3}})
    assert said(old, new) == ["parameter a.c 2 → 3"]


def test_an_upstream_change_is_explained_where_the_old_key_is_known():
    above = stage_key(SizeStage(SizeConfig(times=2)), {})
    old, new = stage_key(DoubleStage(), {"size": KEY}), stage_key(DoubleStage(), {"size": above})
    keys = {KEY.hexdigest: KEY, above.hexdigest: above}
    assert said(old, new, lambda stage, hexdigest: keys[hexdigest]) == ["upstream size: parameter times 1 → 2"]
    assert said(old, new) == ["upstream size"]


def test_long_values_are_abbreviated():
    (line,) = said(altered(KEY, models={"m": "a" * 64}), altered(KEY, models={"m": "b" * 64}))
    assert line == f"model m {'a' * 18}…{'a' * 8} → {'b' * 18}…{'b' * 8}"
