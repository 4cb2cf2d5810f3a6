"""Settings of training, and the experiments that come with the package."""

from __future__ import annotations

import pytest

from ita_pipeline.core.config import config_files, find_config, parse_config, read_yaml
from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig


@pytest.mark.parametrize("name", sorted(config_files("experiments")))
def test_every_experiment_is_complete(name: str):
    written = read_yaml(find_config("experiments", name))
    config = parse_config(TrainingConfig, written, name)
    usual = {"max_length", "seed", "patience", "precision", "word_shapes"}
    assert set(written) >= set(TrainingConfig.model_fields) - usual
    assert set(written["objective"]) == set(type(config.objective).model_fields)


def test_without_alignment_only_the_view_with_context_is_trained_on():
    objective = ObjectiveConfig().without_alignment()
    assert (objective.text, objective.context, objective.alignment) == (0, 1, 0)


@pytest.mark.parametrize(
    ("weights", "views"),
    [
        ({}, 2),
        ({"alignment": 0}, 2),
        ({"context": 0}, 2),
        ({"context": 0, "alignment": 0}, 1),
        ({"text": 0}, 1),
        ({"text": 0, "context": 0, "alignment": 0}, 1),
    ],
)
def test_a_post_counts_the_views_that_are_trained(weights: dict[str, float], views: int):
    objective = ObjectiveConfig(**weights)
    assert objective.count_views(has_context=True) == views
    assert objective.count_views(has_context=False) == 1
