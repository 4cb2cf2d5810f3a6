"""The tagger: its objective from the parts, alignment from its definition, and what is saved is what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.prediction import tag_views
from ita_pipeline.ner.runtimes import TorchRuntime, as_tensors
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.tagger import Tagger, alignment_loss, new_tagger
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, collate, encode_posts
from ita_pipeline.ner.word_shapes import WordShape
from tests.support.tiny_encoder import load
from tests.support.tiny_tagger import POSTS, TYPES, random_tagger


def batch_and_loss(tagger: Tagger, examples: list[EncodedPost], pad: int) -> tuple[dict[str, Any], torch.Tensor]:
    batch = Batcher(tagger.config.scheme, examples, pad)(range(len(examples)))
    return batch, tagger(**batch)["loss"]


@pytest.mark.parametrize(
    "goal",
    [ObjectiveConfig(), ObjectiveConfig(text=0, context=1, alignment=0), ObjectiveConfig(text=0, alignment=2)],
)
def test_the_loss_is_the_weighted_sum_of_both_views_and_their_divergence(
    encoder_folder: Path, goal: ObjectiveConfig
):
    tagger, examples, tokenizer = random_tagger(encoder_folder, goal)
    batch, loss = batch_and_loss(tagger, examples, tokenizer.pad_token_id)
    tags, mask = batch["tags"], batch["mask"]
    text = tagger.emissions(**batch["text"])
    both = tagger.emissions(**batch["context"])
    inner, chosen = mask[[0, 2]], [0, 2]
    nll_text = -tagger.crf.log_likelihood(text, tags, mask)
    nll_both = -tagger.crf.log_likelihood(both, tags[chosen], inner)
    student = tagger.crf.log_marginals(text, mask)[1][chosen]
    gap = alignment_loss(student, tagger.crf.log_marginals(both, inner)[1], inner, goal.temperature)
    # The post without a picture counts its text once, in place of the view that it lacks.
    expected = (
        goal.text * nll_text[chosen].sum()
        + nll_text[1]
        + goal.context * nll_both.sum()
        + goal.alignment * gap.sum()
    )
    assert loss.item() == pytest.approx(expected.item() / 3, rel=1e-5)


def test_the_gradient_is_finite_and_reaches_every_part(encoder_folder: Path):
    tagger, examples, tokenizer = random_tagger(encoder_folder, ObjectiveConfig(), word_dropout=0.3)
    tagger.train()
    batch_and_loss(tagger, examples, tokenizer.pad_token_id)[1].backward()
    for name, parameter in tagger.named_parameters():
        if "pooler" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_word_dropout_zeroes_whole_words_in_training_only(encoder_folder: Path):
    tagger, examples, tokenizer = random_tagger(encoder_folder, ObjectiveConfig(), word_dropout=0.999)
    batch, _ = batch_and_loss(tagger, examples, tokenizer.pad_token_id)
    bias = tagger.linear.bias.expand(batch["text"]["positions"].shape[1], -1)
    tagger.train()
    torch.manual_seed(5)
    assert torch.allclose(tagger.emissions(**batch["text"])[0], bias)
    tagger.eval()
    assert not torch.allclose(tagger.emissions(**batch["text"])[0], bias)


def test_a_saved_tagger_is_loaded_with_the_same_weights_and_predictions(encoder_folder: Path, tmp_path: Path):
    tagger, examples, tokenizer = random_tagger(encoder_folder, ObjectiveConfig())
    tagger.save_pretrained(tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    again = Tagger.from_pretrained(tmp_path / "model").eval()
    before, after = tagger.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.config.scheme.types == TYPES
    views = [example.text for example in examples]
    answers = [tag_views(TorchRuntime(model), views, tokenizer.pad_token_id) for model in (tagger, again)]
    assert answers[0] == answers[1]


def test_word_shapes_change_nothing_at_first_and_are_learned(encoder_folder: Path, tmp_path: Path):
    encoder, tokenizer = load(encoder_folder)
    tagger = new_tagger(encoder, TYPES, 0.0, 64, ObjectiveConfig(), word_shapes=True).eval()
    batch, loss = batch_and_loss(
        tagger, encode_posts(POSTS, ViewEncoder(SubTokenizer.of(tokenizer), 64, word_shapes=True)), 0
    )
    without = {name: {**batch[name], "shapes": None} for name in ("text", "context")}
    assert loss.item() == pytest.approx(tagger(**{**batch, **without})["loss"].item(), rel=1e-6)
    loss.backward()
    assert tagger.shapes is not None
    gradient = tagger.shapes.weight.grad
    assert gradient is not None
    assert gradient[WordShape.LOWER].abs().sum() > 0
    assert gradient[WordShape.NONE].abs().sum() == 0
    tagger.save_pretrained(tmp_path / "model")
    assert Tagger.from_pretrained(tmp_path / "model").config.word_shapes


def test_capitals_reach_an_encoder_that_drops_them(encoder_folder: Path):
    encoder, tokenizer = load(encoder_folder)
    tagger = new_tagger(encoder, TYPES, 0.0, 64, ObjectiveConfig(), word_shapes=True).eval()
    assert tagger.shapes is not None
    torch.nn.init.normal_(tagger.shapes.weight)
    layout = ViewEncoder(SubTokenizer.of(tokenizer), 64, word_shapes=True)
    lower, title = (tagger.emissions(**as_tensors(collate([layout.encode([word])], 0))) for word in ("ada", "Ada"))
    assert not torch.allclose(lower, title)


def by_hand(student: torch.Tensor, teacher: torch.Tensor, lengths: list[int], temperature: float) -> list[float]:
    found = []
    for row, length in enumerate(lengths):
        total = 0.0
        for place in range(length):
            p = torch.softmax(student[row, place] / temperature, dim=0)
            q = torch.softmax(teacher[row, place] / temperature, dim=0)
            total += float((q * (q.log() - p.log())).sum())
        found.append(temperature**2 * total)
    return found


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 999))
def test_alignment_is_the_divergence_of_the_tempered_marginals(lengths: list[int], temperature: float, seed: int):
    torch.manual_seed(seed)
    student, teacher = torch.randn(2, len(lengths), 4, 5, dtype=torch.float64)
    mask = torch.arange(4)[None] < torch.tensor(lengths)[:, None]
    found = alignment_loss(student, teacher, mask, temperature)
    assert found.tolist() == pytest.approx(by_hand(student, teacher, lengths, temperature))
    shifted = alignment_loss(student + 3, teacher - 7, mask, temperature)
    assert shifted.tolist() == pytest.approx(found.tolist())


def test_equal_views_and_padding_have_no_divergence():
    same = torch.randn(1, 3, 4)
    mask = torch.tensor([[True, True, False]])
    assert alignment_loss(same, same, mask, 4.0).item() == pytest.approx(0, abs=1e-6)
    far = same.clone()
    far[0, 2] = float("inf")
    assert alignment_loss(same, far, mask, 4.0).item() == pytest.approx(0, abs=1e-6)


def test_no_gradient_reaches_the_teacher():
    student = torch.randn(1, 2, 3, requires_grad=True)
    teacher = torch.randn(1, 2, 3, requires_grad=True)
    alignment_loss(student, teacher, torch.ones(1, 2, dtype=torch.bool), 2.0).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
