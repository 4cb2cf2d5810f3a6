"""Scores equal to seqeval's strict ones, on anything; which epoch is kept, and when training stops."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2

from ita_pipeline.corpus.formats.schemes import encode_bio
from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.metrics.scores import EpochScore, best_epoch, score, should_stop
from tests.support.spans import SENTENCES, sentence


@settings(deadline=None)
@given(SENTENCES)
def test_scores_equal_seqeval_strict(sentences: list[list[tuple[str, str]]]):
    gold, guess = zip(*map(sentence, sentences), strict=True)
    scores = score(gold, guess)
    found = scores.micro
    repaired = [
        [encode_bio(len(tags), spans) for tags, spans in zip(sentences, side, strict=True)]
        for side in (gold, guess)
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


def conlleval(gold: list[list[str]], guess: list[list[str]]) -> tuple[int, int, int]:
    """Right, guessed and gold chunks of IOB2 tags, counted as the script of CoNLL-2000 does: while it reads on, it
    remembers whether a chunk is open on both sides that began together and with one type.
    """
    right = guessed = wanted = 0
    for truths, guesses in zip(gold, guess, strict=True):
        together, last_truth, last_guess = False, "O", "O"
        for truth, found in zip([*truths, "O"], [*guesses, "O"], strict=True):
            ended, ended_guess = ends(last_truth, truth), ends(last_guess, found)
            if together and ended and ended_guess:
                right, together = right + 1, False
            elif together and ended != ended_guess:
                together = False
            began, began_guess = starts(last_truth, truth), starts(last_guess, found)
            if began and began_guess and truth[2:] == found[2:]:
                together = True
            wanted, guessed = wanted + began, guessed + began_guess
            last_truth, last_guess = truth, found
    return right, guessed, wanted


def ends(before: str, here: str) -> bool:
    return before != "O" and (here[0] in "OB" or before[2:] != here[2:])


def starts(before: str, here: str) -> bool:
    return here != "O" and (here[0] == "B" or before == "O" or before[2:] != here[2:])


@settings(deadline=None)
@given(SENTENCES)
def test_scores_equal_conlleval_on_any_tags_orphans_among_them(sentences: list[list[tuple[str, str]]]):
    """It starts a chunk at an I that continues none, as our reading of CoNLL files does."""
    gold, guess = zip(*map(sentence, sentences), strict=True)
    right, guessed, wanted = conlleval(*([[pair[side] for pair in tags] for tags in sentences] for side in (0, 1)))
    found = score(gold, guess).micro
    assert found.support == wanted
    assert found.precision == pytest.approx(right / guessed if guessed else 0)
    assert found.recall == pytest.approx(right / wanted if wanted else 0)


def test_span_and_type_must_both_be_right():
    gold = [[Span(0, 2, "PER"), Span(3, 4, "LOC")], [Span(0, 1, "ORG")]]
    guess = [[Span(0, 2, "PER"), Span(3, 4, "PER")], [Span(0, 2, "ORG")]]
    found = score(gold, guess)
    assert (found.micro.precision, found.micro.recall, found.micro.support) == (1 / 3, 1 / 3, 3)
    assert found.types["PER"].recall == 1
    assert found.types["PER"].precision == 0.5
    assert found.macro_f1 == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_without_gold_and_predicted_mentions_scores_are_zero():
    assert score([[]], [[]]).micro.f1 == 0


def test_sentences_must_match():
    with pytest.raises(ValueError, match="zip"):
        score([[]], [])


F1_SCORES = st.floats(0, 1)


def history(*means: float) -> list[EpochScore]:
    return [
        EpochScore(epoch=n, loss=0, nll_text=0, nll_context=0, alignment=0, text_f1=mean, context_f1=mean)
        for n, mean in enumerate(means, 1)
    ]


@given(st.lists(st.tuples(F1_SCORES, F1_SCORES), min_size=1, max_size=8))
def test_the_best_epoch_has_the_best_mean_and_is_the_latest_of_those(scores: list[tuple[float, float]]):
    found = [
        EpochScore(epoch=n, loss=0, nll_text=0, nll_context=0, alignment=0, text_f1=text, context_f1=both)
        for n, (text, both) in enumerate(scores)
    ]
    means = [epoch.mean_f1 for epoch in found]
    assert best_epoch(found) == len(means) - 1 - means[::-1].index(max(means))


@pytest.mark.parametrize(
    ("means", "patience", "stops"),
    [
        ([], 1, False),
        ([0.5], 1, False),
        ([0.5, 0.4], 0, False),
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.6, 0.7, 0.8], 1, False),
        ([0.5, 0.5, 0.5], 1, False),
        ([0.5, 0.6, 0.5, 0.55, 0.59], 3, True),
        ([0.0, 0.0], 1, False),
    ],
)
def test_training_stops_when_the_best_epoch_is_old(means: list[float], patience: int, stops: bool):
    assert should_stop(history(*means), patience) is stops


@given(st.lists(F1_SCORES, min_size=1, max_size=10), st.integers(1, 5))
def test_it_never_stops_right_after_its_best_epoch(means: list[float], patience: int):
    found = history(*means)
    if best_epoch(found) == len(found) - 1:
        assert not should_stop(found, patience)
