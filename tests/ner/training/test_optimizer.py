"""Learning rates of the parts of the tagger."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.ner.tagger import new_tagger
from ita_pipeline.ner.training.optimizer import parameter_groups, parameter_names, unique_weights
from tests.support.tiny_encoder import build_bert, load


def test_each_part_learns_at_its_own_rate(tmp_path: Path):
    encoder, _ = load(build_bert(tmp_path))
    tagger = new_tagger(encoder, ("LOC",), 0.1, 64, ObjectiveConfig())
    groups = {group["lr"]: len(group["params"]) for group in parameter_groups(tagger, TrainingConfig())}
    everything = sum(1 for _ in tagger.parameters())
    assert groups == {5e-6: everything - 3, 0.05: 3}
    assert set(parameter_names(tagger).values()) <= unique_weights(tagger).keys()
