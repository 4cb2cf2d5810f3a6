"""Scores equal to seqeval's strict ones, on anything."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from ita_pipeline.corpus.conll import bio_tags
from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.scoring import score
from tests.spans import SENTENCES, sentence


@settings(deadline=None)
@given(SENTENCES)
def test_scores_equal_seqeval_strict(sentences: list[list[tuple[str, str]]]):
    gold, guess = zip(*map(sentence, sentences), strict=True)
    scores = score(gold, guess)
    found = scores.micro
    repaired = [
        [bio_tags(len(tags), spans) for tags, spans in zip(sentences, side, strict=True)] for side in (gold, guess)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
        assert found.precision == pytest.approx(precision_score(*repaired, **strict))
        assert found.recall == pytest.approx(recall_score(*repaired, **strict))
        assert found.f1 == pytest.approx(f1_score(*repaired, **strict))
        if scores.types:
            each = precision_recall_fscore_support(*repaired, average=None, scheme=IOB2, zero_division=0)
            for name, *expected in zip(scores.types, *each, strict=True):
                one = scores.types[name]
                assert [one.precision, one.recall, one.f1, one.support] == pytest.approx(expected)


def test_span_and_type_must_both_be_right():
    gold = [[Span(0, 2, "PER"), Span(3, 4, "LOC")], [Span(0, 1, "ORG")]]
    guess = [[Span(0, 2, "PER"), Span(3, 4, "PER")], [Span(0, 2, "ORG")]]
    found = score(gold, guess)
    assert (found.micro.precision, found.micro.recall, found.micro.support) == (1 / 3, 1 / 3, 3)
    assert found.types["PER"].recall == 1
    assert found.types["PER"].precision == 0.5
    assert found.macro_f1 == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_nothing_to_find_and_nothing_found():
    assert score([[]], [[]]).micro.f1 == 0


def test_sentences_must_match():
    with pytest.raises(ValueError, match="zip"):
        score([[]], [])
