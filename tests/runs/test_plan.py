"""Which settings a training takes: the experiment of the dataset and the encoder, with or without alignment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import DatasetCard
from ita_pipeline.extraction.presets import load_preset
from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.runs.plan import COMPONENT_CAUSES, TrainOptions, training_settings
from ita_pipeline.runs.run import run_components

ALONE = {"text": 0.0, "context": 1.0, "alignment": 0.0}


def card(experiment: str) -> DatasetCard:
    return DatasetCard(about="", files={"all": ["x"]}, experiment=experiment)


@pytest.mark.parametrize(("dataset", "temperature"), [("twitter15", 4), ("twitter17", 2), ("snap", 4)])
def test_the_six_runs_of_ita(dataset: str, temperature: float):
    paper = load_preset("paper")
    aligned = training_settings(card(dataset), paper, {}, TrainOptions())
    alone = training_settings(card(dataset), paper, {}, TrainOptions(alignment=False))
    assert aligned.objective == ObjectiveConfig(text=1, context=0.5, alignment=0.5, temperature=temperature)
    assert alone.objective == ObjectiveConfig(**ALONE, temperature=temperature)
    # Four sentences an update, as in the reference: two posts in both views, or four posts in one.
    assert (aligned.posts_per_update, alone.posts_per_update) == (2, 4)
    rest = {"batch_size": 2, "objective": aligned.objective}
    assert alone.model_copy(update=rest) == aligned
    assert (aligned.epochs, aligned.learning_rate, aligned.crf_learning_rate) == (10, 5e-6, 0.05)


@pytest.mark.parametrize("dataset", ["twitter15", "twitter17", "snap"])
def test_the_same_six_with_the_bundled_encoder(dataset: str):
    bundled = load_preset("bundled")
    aligned = training_settings(card(dataset), bundled, {}, TrainOptions())
    alone = training_settings(card(dataset), bundled, {}, TrainOptions(alignment=False))
    assert alone.objective == aligned.objective.without_alignment()
    assert alone.model_copy(update={"objective": aligned.objective}) == aligned


@pytest.mark.parametrize("dataset", ["twitter15", "twitter17", "snap"])
def test_the_weights_of_the_paper_are_a_variant(dataset: str):
    paper = load_preset("paper")
    code = training_settings(card(dataset), paper, {}, TrainOptions())
    printed = training_settings(card(dataset), paper, {}, TrainOptions(experiment=f"{dataset}-paper-printed"))
    assert printed.objective == ObjectiveConfig(text=1, context=1, alignment=1, temperature=1)
    assert printed.model_copy(update={"objective": code.objective}) == code


def test_an_experiment_of_ones_own_goes_without_alignment_too():
    Path("mine.yaml").write_text("epochs: 3\nobjective: {text: 1, context: 1, alignment: 1, temperature: 3}")
    options = TrainOptions(experiment="mine.yaml", alignment=False, seed=7)
    settings = training_settings(card("snap"), load_preset("bundled"), {"epochs": 2}, options)
    assert (settings.epochs, settings.seed) == (2, 7)
    assert settings.objective == ObjectiveConfig(**ALONE, temperature=3)


def test_what_is_set_on_the_command_line_has_the_last_word():
    options = TrainOptions(alignment=False)
    settings = training_settings(card("snap"), load_preset("bundled"), {"objective": {"text": 0.5}}, options)
    assert settings.objective.text == 0.5


def test_a_recipe_that_nobody_knows_is_a_sentence_and_is_not_asked_for_where_an_experiment_is_named():
    preset = load_preset("bundled").model_copy(update={"recipe": "bundlet"})
    with pytest.raises(UsageError, match="no recipe bundlet") as caught:
        training_settings(card("twitter15"), preset, {}, TrainOptions())
    assert caught.value.hint == "did you mean bundled?"
    assert training_settings(card("twitter15"), preset, {}, TrainOptions(experiment="twitter15-bundled"))


def test_a_seed_that_no_generator_takes_is_refused_before_anything_is_done():
    with pytest.raises(UsageError, match="seed"):
        training_settings(card("twitter15"), load_preset("bundled"), {}, TrainOptions(seed=2**32))


def test_any_other_dataset_has_settings():
    for recipe in ("paper", "bundled"):
        for alignment in (True, False):
            options = TrainOptions(alignment=alignment)
            settings = training_settings(card("wnut17"), load_preset(recipe), {}, options)
            assert (settings.objective.alignment > 0) is alignment


def test_every_component_of_the_run_key_has_a_cause():
    assert set(run_components({}, TrainingConfig(), "", ())) == set(COMPONENT_CAUSES)
