"""Mentions of a trained tagger, with their probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.prediction import predict_views, tag_views
from ita_pipeline.ner.runtimes import TorchRuntime
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.views import ViewEncoder
from tests.support.tiny_tagger import random_tagger


def test_predictions_do_not_depend_on_their_neighbours_in_the_batch(encoder_folder: Path):
    tagger, examples, tokenizer = random_tagger(encoder_folder, ObjectiveConfig())
    views = [example.text for example in examples] + [example.context for example in examples if example.context]
    together = tag_views(TorchRuntime(tagger), views, tokenizer.pad_token_id)
    for view, mentions in zip(views, together, strict=True):
        (alone,) = tag_views(TorchRuntime(tagger), [view], tokenizer.pad_token_id)
        assert [mention.span for mention in alone] == [mention.span for mention in mentions]
        assert [m.score for m in alone] == pytest.approx([m.score for m in mentions], abs=1e-5)
        assert all(0 <= mention.score <= 1 for mention in mentions)


def test_a_post_without_words_has_no_mention(encoder_folder: Path):
    tagger, _, tokenizer = random_tagger(encoder_folder, ObjectiveConfig())
    empty = ViewEncoder(SubTokenizer.of(tokenizer), 64).encode([])
    assert tag_views(TorchRuntime(tagger), [empty], tokenizer.pad_token_id) == [[]]


def test_a_post_without_contexts_has_the_same_mentions_in_both_views(encoder_folder: Path):
    tagger, examples, tokenizer = random_tagger(encoder_folder, ObjectiveConfig())
    predictions = predict_views(TorchRuntime(tagger), examples, tokenizer.pad_token_id)
    assert predictions.context[1] == predictions.text[1]
    contexts = [example.context for example in examples if example.context]
    assert [predictions.context[0], predictions.context[2]] == tag_views(
        TorchRuntime(tagger), contexts, tokenizer.pad_token_id
    )
