"""Tests of the plan of a training: its settings from experiment and options, and datasets that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset, DatasetCard
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.extraction.presets import load_preset
from ita_pipeline.ner.config import Objective, ObjectiveConfig, TrainingConfig
from ita_pipeline.runs.plan import COMPONENT_CAUSES, TrainOptions, refuse_untrainable, training_settings
from ita_pipeline.runs.run import run_components

ALONE = {"text": 0.0, "context": 1.0, "alignment": 0.0}


def card(experiment: str) -> DatasetCard:
    return DatasetCard(about="", files={"all": ["x"]}, experiment=experiment)


@pytest.mark.parametrize(("dataset", "temperature"), [("twitter15", 4), ("twitter17", 2), ("snap", 4)])
def test_the_experiments_of_the_paper_have_its_settings(dataset: str, temperature: float):
    paper = load_preset("paper")
    aligned = training_settings(card(dataset), paper, {}, TrainOptions())
    alone = training_settings(card(dataset), paper, {}, TrainOptions(objective="none"))
    assert aligned.objective == ObjectiveConfig(text=1, context=0.5, alignment=0.5, temperature=temperature)
    assert alone.objective == ObjectiveConfig(**ALONE, temperature=temperature)
    # Four sentences an update, as in the reference: two posts in both views, or four posts in one.
    assert (aligned.posts_per_update, alone.posts_per_update) == (2, 4)
    rest = {"batch_size": 2, "objective": aligned.objective}
    assert alone.model_copy(update=rest) == aligned
    assert (aligned.epochs, aligned.learning_rate, aligned.crf_learning_rate) == (10, 5e-6, 0.05)


@pytest.mark.parametrize("dataset", ["twitter15", "twitter17", "snap"])
def test_the_bundled_experiments_differ_in_the_objective_without_alignment(dataset: str):
    bundled = load_preset("bundled")
    aligned = training_settings(card(dataset), bundled, {}, TrainOptions())
    alone = training_settings(card(dataset), bundled, {}, TrainOptions(objective="none"))
    assert alone.objective == aligned.objective.without_alignment()
    assert alone.model_copy(update={"objective": aligned.objective}) == aligned


@pytest.mark.parametrize("dataset", ["twitter15", "twitter17", "snap"])
def test_the_printed_weights_of_the_paper_are_a_variant(dataset: str):
    paper = load_preset("paper")
    code = training_settings(card(dataset), paper, {}, TrainOptions())
    printed = training_settings(card(dataset), paper, {}, TrainOptions(experiment=f"{dataset}-paper-printed"))
    assert printed.objective == ObjectiveConfig(text=1, context=1, alignment=1, temperature=1)
    assert printed.model_copy(update={"objective": code.objective}) == code


def test_a_custom_experiment_can_be_trained_without_alignment():
    Path("mine.yaml").write_text("epochs: 3\nobjective: {text: 1, context: 1, alignment: 1, temperature: 3}")
    options = TrainOptions(experiment="mine.yaml", objective="none", seed=7)
    settings = training_settings(card("snap"), load_preset("bundled"), {"epochs": 2}, options)
    assert (settings.epochs, settings.seed) == (2, 7)
    assert settings.objective == ObjectiveConfig(**ALONE, temperature=3)


@pytest.mark.parametrize(("dataset", "text"), [("twitter15", 1.0), ("example", 1.0)])
def test_both_likelihoods_are_trained_without_alignment(dataset: str, text: float):
    bundled = load_preset("bundled")
    aligned = training_settings(card(dataset), bundled, {}, TrainOptions())
    both = training_settings(card(dataset), bundled, {}, TrainOptions(objective="both"))
    assert both.objective.alignment == 0
    assert (both.objective.text, both.objective.context) == (text, aligned.objective.context)
    assert both.model_copy(update={"objective": aligned.objective}) == aligned


def test_an_assignment_overrides_the_experiment():
    options = TrainOptions(objective="none")
    settings = training_settings(card("snap"), load_preset("bundled"), {"objective": {"text": 0.5}}, options)
    assert settings.objective.text == 0.5


def test_an_unknown_recipe_is_refused_unless_an_experiment_is_named():
    preset = load_preset("bundled").model_copy(update={"recipe": "bundlet"})
    with pytest.raises(UsageError, match="no recipe bundlet") as caught:
        training_settings(card("twitter15"), preset, {}, TrainOptions())
    assert caught.value.hint == "did you mean bundled?"
    assert training_settings(card("twitter15"), preset, {}, TrainOptions(experiment="twitter15-bundled"))


def test_a_seed_that_is_too_large_is_refused():
    with pytest.raises(UsageError, match="seed"):
        training_settings(card("twitter15"), load_preset("bundled"), {}, TrainOptions(seed=2**32))


def test_a_dataset_without_an_experiment_has_default_settings():
    for recipe in ("paper", "bundled"):
        for objective in get_args(Objective):
            settings = training_settings(card("wnut17"), load_preset(recipe), {}, TrainOptions(objective=objective))
            assert (settings.objective.alignment > 0) is (objective == "aligned")


def test_every_component_of_the_run_key_has_a_cause():
    assert {*run_components({}, TrainingConfig(), "", ()), "grounding"} == set(COMPONENT_CAUSES)


LABELED = Post("1", "Ada", ("Ada",), ((0, 3),), gold=(Span(0, 1, "PER"),))
UNLABELED = Post("2", "Ada", ("Ada",), ((0, 3),))
NO_MENTION = Post("3", "Ada", ("Ada",), ((0, 3),), gold=())


def dataset(**splits: tuple[Post, ...]) -> Dataset:
    return Dataset("mine", card("default"), Path(), splits, None, ())


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": (LABELED,), "dev": (LABELED,)}, "test: no posts"),
        ({"train": (), "dev": (LABELED,), "test": (LABELED,)}, "train: no posts"),
        ({"train": (LABELED,), "dev": (UNLABELED,), "test": (LABELED,)}, "dev: no post has labels"),
        ({"train": (NO_MENTION,), "dev": (LABELED,), "test": (LABELED,)}, "train: no post has a mention"),
    ],
)
def test_a_dataset_that_cannot_be_trained_on_is_refused(splits: dict[str, tuple[Post, ...]], message: str):
    with pytest.raises(UsageError, match=message):
        refuse_untrainable(dataset(**splits))


def test_a_labeled_dataset_is_accepted():
    refuse_untrainable(dataset(train=(LABELED,), dev=(NO_MENTION,), test=(NO_MENTION,)))
