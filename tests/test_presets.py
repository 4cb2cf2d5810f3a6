"""Which preset `auto` means, and the stages that a preset asks for."""

from __future__ import annotations

import pytest

from ita_pipeline.errors import UsageError
from ita_pipeline.presets import (
    build_stages,
    choose,
    hub_models,
    known_stages,
    load_preset,
    unavailable,
    with_changes,
)
from stages import hub


def test_auto_is_bundled_where_no_hub_answers_and_says_why():
    choice = choose("auto")
    assert choice.preset.name == "bundled"
    assert choice.why.startswith("preset bundled: the model FacebookAI/xlm-roberta-large is not on this machine")
    assert "--preset paper" in choice.why


def test_auto_is_paper_where_every_model_can_be_had(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(hub, "identify", lambda model, revision="main": asked.append(model) or f"{model}@1")
    choice = choose("auto")
    assert choice.preset.name == "paper"
    assert asked == hub_models(load_preset("paper"))
    assert len(asked) == 4


def test_bundled_needs_no_hub():
    assert hub_models(load_preset("bundled")) == []
    assert unavailable(load_preset("bundled")) is None


def test_our_stages_come_in_by_the_entry_point():
    assert {"caption", "external", "objects", "ocr"} <= set(known_stages())


def test_a_stage_brings_those_that_it_reads():
    names = [stage.name for stage in build_stages(load_preset("bundled"), ["caption"])]
    assert sorted(names) == ["caption", "objects"]
    assert [stage.name for stage in build_stages(load_preset("bundled"), ["ocr"])] == ["ocr"]


def test_wrong_names_get_the_nearest():
    preset = load_preset("bundled")
    with pytest.raises(UsageError, match="no stage orc") as caught:
        build_stages(preset, ["orc"])
    assert caught.value.hint == "did you mean ocr?"
    with pytest.raises(UsageError, match="stage ocr has no setting page_mod"):
        build_stages(with_changes(preset, {"ocr": {"page_mod": 6}}))
    with pytest.raises(UsageError, match="stage ocr: page_mode"):
        build_stages(with_changes(preset, {"ocr": {"page_mode": 99}}))
