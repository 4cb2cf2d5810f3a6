"""Tests of presets: how `auto` chooses one, and how its stages are loaded and built."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import ENTRY_POINT_GROUP
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import (
    Preset,
    apply_changes,
    build_stages,
    choose_preset,
    find_missing_model,
    list_hub_models,
    load_preset,
    load_stage,
    resolve_preset,
)
from stages.base import StageError


def test_auto_is_bundled_without_a_hub_and_gives_the_reason():
    choice = choose_preset("auto")
    assert choice.preset.name == "bundled"
    assert choice.why.startswith("using preset `bundled`: the model FacebookAI/xlm-roberta-large is not")
    assert "--preset paper" in choice.why


def test_auto_is_paper_if_every_model_is_available(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(
        "stages.models.identity.identify", lambda model, revision="main": asked.append(model) or f"{model}@1"
    )
    choice = choose_preset("auto")
    assert choice.preset.name == "paper"
    assert asked == list_hub_models(load_preset("paper"))
    assert len(asked) == 4


def test_bundled_has_no_model_from_a_hub():
    assert list_hub_models(load_preset("bundled")) == []
    assert find_missing_model(load_preset("bundled")) is None


def test_a_stage_is_built_with_those_that_it_reads():
    names = [stage.name for stage in build_stages(load_preset("bundled"), ["caption"])]
    assert sorted(names) == ["caption", "objects"]
    assert [stage.name for stage in build_stages(load_preset("bundled"), ["ocr"])] == ["ocr"]


def test_the_hint_for_a_wrong_name_is_the_nearest_one():
    preset = load_preset("bundled")
    with pytest.raises(UsageError, match="no stage orc") as caught:
        build_stages(preset, ["orc"])
    assert caught.value.hint == "did you mean ocr?"
    with pytest.raises(UsageError, match=r"ocr\.page_mod is not a setting"):
        build_stages(apply_changes(preset, {"ocr": {"page_mod": 6}}))
    with pytest.raises(UsageError, match=r"ocr\.page_mode"):
        build_stages(apply_changes(preset, {"ocr": {"page_mode": 99}}))


class Broken:
    name = "broken"


def entry_of(value: str, name: str = "broken") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=ENTRY_POINT_GROUP)


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ("tests.nowhere:Stage", "broken", "cannot be loaded: No module named"),
        ("tests.extraction.test_presets:Broken", "broken", "is not a subclass of stages.base.Stage"),
        ("stages.base:Stage", "broken", "does not declare its name"),
        ("tests.support.fakes:SizeStage", "broken", "calls itself size, and its entry point broken"),
    ],
)
def test_an_invalid_stage_class_is_refused_with_its_fault(value: str, name: str, message: str):
    with pytest.raises(StageError) as caught:
        load_stage(entry_of(value, name))
    assert message in str(caught.value)
    assert value in str(caught.value)


def test_a_stage_that_reads_a_missing_stage_is_refused():
    alone = Preset(name="alone", about="", encoder="minilm", stages={"caption": {}})
    with pytest.raises(UsageError, match="the stage caption reads objects, which preset alone does not have"):
        build_stages(alone)


def test_a_misspelt_preset_is_refused_with_the_nearest_and_a_file_is_a_preset():
    with pytest.raises(UsageError, match="no preset bundeld") as caught:
        load_preset("bundeld")
    assert caught.value.hint == "did you mean bundled?"
    Path("config.yaml").write_text("about: mine\nencoder: minilm\nstages: {ocr: {page_mode: 6}}")
    assert load_preset("config.yaml").stages == {"ocr": {"page_mode": 6}}


def test_changes_reach_stages_and_contexts():
    preset = apply_changes(load_preset("bundled"), {"ocr": {"page_mode": 6}, "contexts": {"objects": 2}})
    assert preset.stages["ocr"] == {"languages": "eng", "page_mode": 6}
    assert preset.contexts.objects == 2
    assert preset.contexts.word_confidence == load_preset("bundled").contexts.word_confidence
    with pytest.raises(UsageError, match=r"contexts\.object_scores"):
        apply_changes(preset, {"contexts": {"object_scores": 0.5}})


def test_stages_without_a_language_of_their_own_have_that_of_the_dataset():
    def resolve(language: str, *assignments: str) -> Preset:
        return resolve_preset(Options("bundled", assignments=assignments), language=language).preset

    chinese = resolve("zh")
    assert (chinese.stages["caption"]["language"], chinese.contexts.language) == ("zh", "zh")
    assert "language" not in chinese.stages["ocr"]
    assert "knowledge" not in chinese.stages
    assert resolve("zh", "knowledge.model=x").stages["knowledge"] == {"model": "x", "language": "zh"}
    mixed = resolve("zh", "caption.language=en", "contexts.language=de")
    assert (mixed.stages["caption"]["language"], mixed.contexts.language) == ("en", "de")
    assert resolve("ko") == resolve("en") == resolve("")
    with pytest.raises(UsageError, match="no words in ko"):
        build_stages(resolve("", "caption.language=ko"))
