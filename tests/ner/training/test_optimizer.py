"""Learning rates of the parts of the tagger, and the weights that checkpoints save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.ner.tagger import new_tagger
from ita_pipeline.ner.training.optimizer import parameter_groups, parameter_names, unique_weights
from tests.support.tiny_encoder import load
from tests.support.tiny_tagger import bench


def test_each_part_learns_at_its_own_rate(encoder_folder: Path):
    encoder, _ = load(encoder_folder)
    tagger = new_tagger(encoder, ("LOC",), 0.1, 64, ObjectiveConfig())
    groups = {group["lr"]: len(group["params"]) for group in parameter_groups(tagger, TrainingConfig())}
    everything = sum(1 for _ in tagger.parameters())
    assert groups == {5e-6: everything - 3, 0.05: 3}
    assert set(parameter_names(tagger).values()) <= unique_weights(tagger).keys()


def test_tied_weights_are_saved_once(encoder_folder: Path, tmp_path: Path):
    made = bench(encoder_folder, tmp_path)
    before = unique_weights(made.tagger)
    layers: Sequence[Any] = made.tagger.encoder.encoder.layer
    layers[1].output.dense.weight = layers[0].output.dense.weight
    assert before.keys() - unique_weights(made.tagger).keys() == {"encoder.encoder.layer.1.output.dense.weight"}
