"""Training: it learns, the same seed gives the same, and the epoch that is kept is the best one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ita_pipeline.ner.examples import both_scores, evaluate
from ita_pipeline.ner.history import best_epoch
from ita_pipeline.ner.tagger import Tagger
from tests.tiny_encoder import build_bert
from tests.tiny_tagger import QUICK, bench


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bert(tmp_path_factory.mktemp("bert"))


def test_it_learns_from_the_picture_what_the_words_leave_open(tmp_path: Path, encoder_folder: Path):
    made = bench(encoder_folder, tmp_path)
    history = made.train()
    assert history[-1].loss < history[0].loss
    assert max(epoch.context_f1 for epoch in history) > 0.9
    assert history[0].alignment > 0
    best = history[best_epoch(history)]
    kept = Tagger.from_pretrained(made.desk.model(best.epoch)).eval()
    text, both = both_scores(made.examples, evaluate(kept, made.examples, made.pad))
    assert (text.micro.f1, both.micro.f1) == (best.text_f1, best.context_f1)
    assert [path.name for path in made.desk.model(1).parent.iterdir()] == [f"epoch-{best.epoch:03d}"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path, encoder_folder: Path):
    short = QUICK.model_copy(update={"epochs": 2})
    one, two = bench(encoder_folder, tmp_path / "a", short), bench(encoder_folder, tmp_path / "b", short)
    other = bench(encoder_folder, tmp_path / "c", short.model_copy(update={"seed": 9}))
    assert one.train() == two.train()
    other.train()
    pairs = zip(one.tagger.parameters(), two.tagger.parameters(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    assert not torch.equal(one.tagger.linear.weight, other.tagger.linear.weight)


def test_patience_ends_a_training_that_gets_no_better(tmp_path: Path, encoder_folder: Path):
    stuck = QUICK.model_copy(
        update={"epochs": 9, "learning_rate": 1e-9, "linear_learning_rate": 1e-9, "patience": 1}
    )
    made = bench(encoder_folder, tmp_path, stuck)
    made.desk.folder.mkdir(exist_ok=True)
    history = made.train()
    if best_epoch(history) == len(history) - 1:
        assert len(history) == 9
    else:
        assert len(history) == best_epoch(history) + 2
        assert made.lines == [f"stopping early: epoch {best_epoch(history) + 1} is the best"]
        assert bench(encoder_folder, tmp_path, stuck).train() == history


def test_every_update_and_every_epoch_is_logged(tmp_path: Path, encoder_folder: Path):
    made = bench(encoder_folder, tmp_path, QUICK.model_copy(update={"epochs": 2}))
    history = made.train()
    lines = [json.loads(line) for line in made.desk.log.read_text().splitlines()]
    updates = [line for line in lines if line["event"] == "update"]
    assert [line["step"] for line in updates] == list(range(1, 13))
    assert [line["f1"] if "f1" in line else line["text_f1"] for line in lines if line["event"] == "epoch"] == [
        epoch.text_f1 for epoch in history
    ]
    assert sum(line["loss"] for line in updates[:6]) / 6 == pytest.approx(history[0].loss)
    assert updates[0]["learning_rate"] > updates[-1]["learning_rate"] >= 0
