"""Training: it learns, the same seed gives the same, and the epoch that is kept is the best one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Post, Span, joined
from ita_pipeline.ner.alignment import ObjectiveConfig
from ita_pipeline.ner.encoding import ViewEncoder
from ita_pipeline.ner.tagger import Tagger, new_tagger
from ita_pipeline.ner.training import (
    EpochScore,
    TrainingConfig,
    best_epoch,
    both_scores,
    evaluate,
    lay_out,
    parameter_groups,
    train,
)
from tests.tiny_encoder import build_bert, load

QUICK = TrainingConfig(
    epochs=12,
    batch_size=4,
    accumulation=1,
    learning_rate=3e-3,
    linear_learning_rate=3e-3,
    crf_learning_rate=3e-2,
    objective=ObjectiveConfig(alignment=0.1),
)


def posts() -> list[tuple[Post, tuple[str, ...]]]:
    """The picture tells the type: a town's name stands on a sign."""
    found = []
    for number, name in enumerate(["kim", "lou", "max", "zoe", "tim", "pia"] * 4):
        kind, context = ("LOC", "km sign") if number % 2 else ("PER", "a face")
        words = ("hi", name)
        text, offsets = joined(words)
        found.append((Post(str(number), text, words, offsets, gold=(Span(1, 2, kind),)), (context,)))
    text, offsets = joined(())
    return [*found, (Post("empty", text, (), offsets, gold=()), ("a sign",))]


def trained(folder: Path, encoder_folder: Path, config: TrainingConfig) -> tuple[Tagger, list[EpochScore]]:
    torch.manual_seed(config.seed)
    encoder, tokenizer = load(encoder_folder)
    tagger = new_tagger(encoder, ("LOC", "PER"), config.word_dropout, 64, config.objective)
    examples = lay_out(posts(), ViewEncoder(tokenizer, 64))
    history = train(tagger, examples, examples, config, tokenizer.pad_token_id, folder, lambda _: None)
    return tagger, history


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bert(tmp_path_factory.mktemp("bert"))


def test_it_learns_from_the_picture_what_the_words_leave_open(tmp_path: Path, encoder_folder: Path):
    _, history = trained(tmp_path / "model", encoder_folder, QUICK)
    assert history[-1].loss < history[0].loss
    assert max(epoch.context_f1 for epoch in history) > 0.9
    assert history[0].alignment > 0
    kept = Tagger.from_pretrained(tmp_path / "model").eval()
    _, tokenizer = load(encoder_folder)
    examples = lay_out(posts(), ViewEncoder(tokenizer, 64))
    text, both = both_scores(examples, evaluate(kept, examples, tokenizer.pad_token_id))
    best = history[best_epoch(history)]
    assert (text.micro.f1, both.micro.f1) == (best.text_f1, best.context_f1)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path, encoder_folder: Path):
    short = QUICK.model_copy(update={"epochs": 2})
    one, first = trained(tmp_path / "a", encoder_folder, short)
    two, second = trained(tmp_path / "b", encoder_folder, short)
    other, _ = trained(tmp_path / "c", encoder_folder, short.model_copy(update={"seed": 9}))
    assert first == second
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.linear.weight, other.linear.weight)


SCORES = st.floats(0, 1)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=8))
def test_the_best_epoch_has_the_best_mean_and_is_the_latest_of_those(scores: list[tuple[float, float]]):
    history = [
        EpochScore(epoch=n, loss=0, nll_text=0, nll_context=0, alignment=0, text_f1=text, context_f1=both)
        for n, (text, both) in enumerate(scores)
    ]
    means = [epoch.mean_f1 for epoch in history]
    assert best_epoch(history) == len(means) - 1 - means[::-1].index(max(means))


def test_each_part_learns_at_its_own_rate(encoder_folder: Path):
    encoder, _ = load(encoder_folder)
    tagger = new_tagger(encoder, ("LOC",), 0.1, 64, ObjectiveConfig())
    groups = {group["lr"]: len(group["params"]) for group in parameter_groups(tagger, TrainingConfig())}
    everything = sum(1 for _ in tagger.parameters())
    assert groups == {5e-6: everything - 3, 0.05: 3}
