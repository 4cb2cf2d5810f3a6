"""Which preset `auto` means, and the stages that a preset asks for."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import ENTRY_POINT_GROUP, stage_entry_points
from ita_pipeline.extraction.presets import (
    Preset,
    apply_changes,
    build_stages,
    choose_preset,
    find_missing_model,
    list_hub_models,
    load_preset,
    load_stage,
)
from stages.base import StageError


def test_auto_is_bundled_where_no_hub_answers_and_says_why():
    choice = choose_preset("auto")
    assert choice.preset.name == "bundled"
    assert choice.why.startswith("preset bundled: the model FacebookAI/xlm-roberta-large is not on this machine")
    assert "--preset paper" in choice.why


def test_auto_is_paper_where_every_model_can_be_had(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(
        "stages.models.identity.identify", lambda model, revision="main": asked.append(model) or f"{model}@1"
    )
    choice = choose_preset("auto")
    assert choice.preset.name == "paper"
    assert asked == list_hub_models(load_preset("paper"))
    assert len(asked) == 4


def test_bundled_needs_no_hub():
    assert list_hub_models(load_preset("bundled")) == []
    assert find_missing_model(load_preset("bundled")) is None


def test_our_stages_come_in_by_the_entry_point():
    assert {"caption", "external", "objects", "ocr"} <= set(stage_entry_points())


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
        build_stages(apply_changes(preset, {"ocr": {"page_mod": 6}}))
    with pytest.raises(UsageError, match="stage ocr: page_mode"):
        build_stages(apply_changes(preset, {"ocr": {"page_mode": 99}}))


class Broken:
    name = "broken"


def entry_of(value: str, name: str = "broken") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ("tests.nowhere:Stage", "broken", "cannot be loaded: No module named"),
        ("tests.extraction.test_presets:Broken", "broken", "is no subclass of stages.base.Stage"),
        ("stages.base:Stage", "broken", "does not declare its name"),
        ("tests.support.fakes:SizeStage", "broken", "calls itself size, and its entry point broken"),
    ],
)
def test_a_stage_that_is_none_says_what_it_lacks(value: str, name: str, message: str):
    with pytest.raises(StageError) as caught:
        load_stage(entry_of(value, name))
    assert message in str(caught.value)
    assert value in str(caught.value)


def test_a_name_that_two_packages_claim_is_refused(monkeypatch: pytest.MonkeyPatch):
    both = [entry_of("stages.ocr.stage:OcrStage", "ocr"), entry_of("tests.support.fakes:SizeStage", "ocr")]
    monkeypatch.setattr("ita_pipeline.core.plugins.entry_points", lambda group: both)
    with pytest.raises(UsageError, match="two packages bring a stage ocr"):
        stage_entry_points.__wrapped__()


def test_a_stage_that_reads_what_the_preset_lacks_says_so():
    alone = Preset(name="alone", about="", encoder="minilm", stages={"caption": {}})
    with pytest.raises(UsageError, match="the stage caption reads objects, which preset alone does not have"):
        build_stages(alone)
