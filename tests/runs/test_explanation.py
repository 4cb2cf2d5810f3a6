"""Tests of explanations: a post without each part of its contexts, against tagging it so by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import ita_pipeline as ita
from ita_pipeline.corpus.contexts import ContextConfig, ContextPiece
from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.runtimes import TorchRuntime
from ita_pipeline.ner.views import collate
from ita_pipeline.runs.explanation import ExplanationInput, SwitchOff, explain_posts
from ita_pipeline.runs.predictor import Predictor
from tests.support.lattices import log_sum, path_scores
from tests.support.trained_run import trained as trained  # a fixture

CONFIG = ContextConfig()
PIECES = (
    ContextPiece("objects", 0, 0, "red car"),
    ContextPiece("objects", 1, 1, "kim"),
    ContextPiece("caption", 0, 0, "kim in a car"),
    ContextPiece("ocr", 0, 0, "HI"),
    ContextPiece("ocr", 1, 0, "LOU"),
    ContextPiece("ocr", 2, 1, "EXIT"),
)
PARTS = [
    ("", "", ()),
    ("objects", "", (0, 1)),
    ("objects", "red car", (0,)),
    ("objects", "kim", (1,)),
    ("caption", "kim in a car", (0,)),
    ("ocr", "", (0, 1, 2)),
    ("ocr", "HI LOU", (0, 1)),
    ("ocr", "EXIT", (2,)),
]


def name(part: SwitchOff) -> tuple[str, str, tuple[int, ...]]:
    return part.context, part.text, part.pieces


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    return ita.load(trained)


def test_every_context_object_line_and_caption_is_switched_off_once(predictor: Predictor):
    calls = []

    def decode(posts):
        calls.append([contexts for _, contexts in posts])
        return predictor.decode(posts)

    (explanation,) = explain_posts([ExplanationInput(ita.Post.from_text("hi kim"), PIECES)], CONFIG, decode)
    assert [name(part) for part in explanation.without] == PARTS
    (batch,) = calls
    assert batch[:4] == [
        ("red car, kim", "kim in a car", "HI LOU EXIT"),
        (),
        ("kim in a car", "HI LOU EXIT"),
        ("kim", "kim in a car", "HI LOU EXIT"),
    ]
    assert batch[7] == ("red car, kim", "kim in a car", "EXIT")


def test_a_part_that_is_all_there_is_is_switched_off_once(predictor: Predictor):
    post = ita.Post.from_text("hi kim")
    for pieces, count in ((PIECES[:1], 1), (PIECES[:2], 3), ((PIECES[0], PIECES[2]), 3), ((), 0)):
        (explanation,) = explain_posts([ExplanationInput(post, pieces)], CONFIG, predictor.decode)
        assert len(explanation.without) == count
        assert explanation.prediction.view == ("text+image" if pieces else "text")


def test_without_contexts_the_answer_is_that_of_the_text_alone(predictor: Predictor):
    posts = [ita.Post.from_text(text) for text in ("hi kim", "kim hi kim lou hi", "nothing", "")]
    explanations = explain_posts([ExplanationInput(post, PIECES) for post in posts], CONFIG, predictor.decode)
    for alone, explanation in zip(predictor.predict(posts), explanations, strict=True):
        found = explanation.without[0].mentions
        assert [(m.start, m.end, m.type) for m in found] == [(m.start, m.end, m.type) for m in alone.mentions]
        assert [m.score for m in found] == pytest.approx([m.score for m in alone.mentions], abs=1e-5)


def test_a_probability_without_an_object_equals_a_sum_over_all_tag_sequences(trained: Path):
    predictor = ita.load(trained, runtime="torch")
    post = ita.Post.from_text("hi kim")
    (explanation,) = explain_posts([ExplanationInput(post, PIECES)], CONFIG, predictor.decode)
    without = explanation.without[2]
    assert without.text == "red car"
    view = predictor.encoder.encode(post.words, ("kim", "kim in a car", "HI LOU EXIT"))
    assert isinstance(predictor.tagger, TorchRuntime)
    tagger = predictor.tagger.tagger
    emissions = torch.from_numpy(predictor.tagger.emissions(collate([view], predictor.encoder.pad))[0])
    scores = path_scores(tagger.crf, emissions)
    tag = tagger.config.scheme.encode([Span(1, 2, "PER")], 2)[1]
    of_kim = log_sum([score for path, score in scores.items() if path[1] == tag])
    expected = math.exp(of_kim - log_sum([*scores.values()]))
    kim = next(n for n, m in enumerate(explanation.mentions) if (m.text, m.type) == ("kim", "PER"))
    assert without.scores[kim] == pytest.approx(expected, abs=1e-5)


def test_mentions_found_only_without_a_part_are_followed_too(predictor: Predictor):
    post = ita.Post.from_text("hi kim")
    (explanation,) = explain_posts([ExplanationInput(post, PIECES)], CONFIG, predictor.decode)
    found = {(m.start, m.end, m.type) for part in explanation.without for m in part.mentions}
    found |= {(m.start, m.end, m.type) for m in explanation.prediction.mentions}
    assert {(m.start, m.end, m.type) for m in explanation.mentions} == found
    assert all(len(part.scores) == len(explanation.mentions) for part in explanation.without)
    (nothing,) = explain_posts([ExplanationInput(post, PIECES)], CONFIG, predictor.decode, min_confidence=1.0)
    assert nothing.mentions == nothing.prediction.mentions == ()
