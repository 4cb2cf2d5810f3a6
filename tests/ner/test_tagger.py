"""The tagger: its objective from the parts, and what is saved is what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.alignment import alignment_loss
from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.prediction import tag_views
from ita_pipeline.ner.tagger import Tagger, new_tagger
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, collate, encode_posts
from ita_pipeline.ner.word_shapes import WordShape
from tests.support.tiny_encoder import build_bert, load

TYPES = ("LOC", "PER")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bert(tmp_path_factory.mktemp("bert"))


def post(words: str, *spans: Span) -> Post:
    found = tuple(words.split())
    text, offsets = join_words(found)
    return Post(text, text, found, offsets, gold=spans)


POSTS = [
    (post("ada spoke in leeds", Span(0, 1, "PER"), Span(3, 4, "LOC")), ("a woman",)),
    (post("so it is"), ()),
    (post("bob", Span(0, 1, "PER")), ("two men", "bob fc")),
]


def made(
    folder: Path, objective: ObjectiveConfig, word_dropout: float = 0.0
) -> tuple[Tagger, list[EncodedPost], Any]:
    encoder, tokenizer = load(folder)
    torch.manual_seed(1)
    tagger = new_tagger(encoder, TYPES, word_dropout, 64, objective).eval()
    with torch.no_grad():
        for parameter in tagger.crf.parameters():
            parameter.normal_()
    return tagger, encode_posts(POSTS, ViewEncoder(tokenizer, 64)), tokenizer


def parts(tagger: Tagger, examples: list[EncodedPost], pad: int) -> tuple[dict[str, Any], torch.Tensor]:
    batch = Batcher(tagger.config.scheme, examples, pad)(range(len(examples)))
    return batch, tagger(**batch)["loss"]


@pytest.mark.parametrize(
    "goal",
    [ObjectiveConfig(), ObjectiveConfig(text=0, context=1, alignment=0), ObjectiveConfig(text=0, alignment=2)],
)
def test_the_loss_is_the_weighted_sum_of_both_views_and_their_divergence(folder: Path, goal: ObjectiveConfig):
    tagger, examples, tokenizer = made(folder, goal)
    batch, loss = parts(tagger, examples, tokenizer.pad_token_id)
    tags, mask = batch["tags"], batch["mask"]
    text = tagger.emissions(**batch["text"])
    both = tagger.emissions(**batch["context"])
    inner, chosen = mask[[0, 2]], [0, 2]
    nll_text = -tagger.crf.log_likelihood(text, tags, mask)
    nll_both = -tagger.crf.log_likelihood(both, tags[chosen], inner)
    student = tagger.crf.log_marginals(text, mask)[1][chosen]
    gap = alignment_loss(student, tagger.crf.log_marginals(both, inner)[1], inner, goal.temperature)
    # The post without a picture counts its text in place of the view that it has not.
    expected = goal.text * nll_text.sum() + nll_text[1] + goal.context * nll_both.sum() + goal.alignment * gap.sum()
    assert loss.item() == pytest.approx(expected.item() / 3, rel=1e-5)


def test_the_gradient_is_finite_and_reaches_every_part(folder: Path):
    tagger, examples, tokenizer = made(folder, ObjectiveConfig(), word_dropout=0.3)
    tagger.train()
    parts(tagger, examples, tokenizer.pad_token_id)[1].backward()
    for name, parameter in tagger.named_parameters():
        if "pooler" not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_word_dropout_zeroes_whole_words_in_training_only(folder: Path):
    tagger, examples, tokenizer = made(folder, ObjectiveConfig(), word_dropout=0.999)
    batch, _ = parts(tagger, examples, tokenizer.pad_token_id)
    bias = tagger.linear.bias.expand(batch["text"]["positions"].shape[1], -1)
    tagger.train()
    torch.manual_seed(5)
    assert torch.allclose(tagger.emissions(**batch["text"])[0], bias)
    tagger.eval()
    assert not torch.allclose(tagger.emissions(**batch["text"])[0], bias)


def test_a_saved_tagger_is_loaded_with_the_same_weights_and_answers(folder: Path, tmp_path: Path):
    tagger, examples, tokenizer = made(folder, ObjectiveConfig())
    tagger.save_pretrained(tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    again = Tagger.from_pretrained(tmp_path / "model").eval()
    before, after = tagger.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.config.scheme.types == TYPES
    views = [example.text for example in examples]
    answers = [tag_views(model, views, tokenizer.pad_token_id) for model in (tagger, again)]
    assert answers[0] == answers[1]


def test_predictions_do_not_depend_on_their_neighbours_in_the_batch(folder: Path):
    tagger, examples, tokenizer = made(folder, ObjectiveConfig())
    views = [example.text for example in examples] + [example.context for example in examples if example.context]
    together = tag_views(tagger, views, tokenizer.pad_token_id)
    for view, found in zip(views, together, strict=True):
        (alone,) = tag_views(tagger, [view], tokenizer.pad_token_id)
        assert [mention.span for mention in alone] == [mention.span for mention in found]
        assert [m.score for m in alone] == pytest.approx([m.score for m in found], abs=1e-5)
        assert all(0 <= mention.score <= 1 for mention in found)


def test_a_post_without_words_has_no_mention(folder: Path):
    tagger, _, tokenizer = made(folder, ObjectiveConfig())
    empty = ViewEncoder(tokenizer, 64).encode([])
    assert tag_views(tagger, [empty], tokenizer.pad_token_id) == [[]]


def test_word_shapes_change_nothing_at_first_and_are_learned(folder: Path, tmp_path: Path):
    encoder, tokenizer = load(folder)
    tagger = new_tagger(encoder, TYPES, 0.0, 64, ObjectiveConfig(), word_shapes=True).eval()
    batch, loss = parts(tagger, encode_posts(POSTS, ViewEncoder(tokenizer, 64, word_shapes=True)), 0)
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


def test_capitals_reach_an_encoder_that_drops_them(folder: Path):
    encoder, tokenizer = load(folder)
    tagger = new_tagger(encoder, TYPES, 0.0, 64, ObjectiveConfig(), word_shapes=True).eval()
    assert tagger.shapes is not None
    torch.nn.init.normal_(tagger.shapes.weight)
    layout = ViewEncoder(tokenizer, 64, word_shapes=True)
    lower, title = (tagger.emissions(**collate([layout.encode([word])], 0)) for word in ("ada", "Ada"))
    assert not torch.allclose(lower, title)
