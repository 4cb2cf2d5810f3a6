"""Two taggers on the same posts: the tests against all possibilities, where these are few."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.metrics.significance import batch_sizes, compare, count_mentions, f1
from tests.support.spans import SENTENCES, sentence

RIGHT, WRONG = [Span(0, 1, "PER")], [Span(0, 1, "LOC")]


@given(SENTENCES)
def test_f1_equals_the_reported_f1(sentences: list[list[tuple[str, str]]]):
    gold, found = zip(*map(sentence, sentences), strict=True)
    assert float(f1(count_mentions(gold, found).sum(0))) == pytest.approx(score(gold, found).micro.f1)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=7))
def test_randomisation_agrees_with_trying_all_exchanges(answers: list[tuple[int, int]]):
    choices: list[list[Span]] = [[], RIGHT, WRONG]
    gold = [RIGHT] * len(answers)
    a, b = ([choices[pair[side]] for pair in answers] for side in (0, 1))
    found = compare(gold, a, b, samples=4000)
    observed, extreme, total = abs(found.difference), 0, 0
    for swapped in itertools.product([False, True], repeat=len(answers)):
        one = [y if swap else x for x, y, swap in zip(a, b, swapped, strict=True)]
        two = [x if swap else y for x, y, swap in zip(a, b, swapped, strict=True)]
        difference = score(gold, two).micro.f1 - score(gold, one).micro.f1
        extreme += abs(difference) >= observed - 1e-12
        total += 1
    assert found.randomisation.p == pytest.approx(extreme / total, abs=0.04)


def test_the_bootstrap_agrees_with_trying_all_samples():
    gold = [RIGHT] * 4
    a, b = [RIGHT, WRONG, WRONG, []], [RIGHT, RIGHT, WRONG, WRONG]
    found = compare(gold, a, b, samples=20_000)
    first, second = count_mentions(gold, a), count_mentions(gold, b)
    differences = [
        float(f1(second[list(drawn)].sum(0)) - f1(first[list(drawn)].sum(0)))
        for drawn in itertools.product(range(4), repeat=4)
    ]
    low, high = np.quantile(differences, [0.025, 0.975])
    assert (found.bootstrap.low, found.bootstrap.high) == pytest.approx((low, high), abs=0.03)
    assert found.bootstrap.not_better == pytest.approx(np.mean(np.array(differences) <= 0), abs=0.02)


def test_a_tagger_is_no_better_than_itself():
    found = compare([RIGHT, RIGHT], [RIGHT, []], [RIGHT, []], samples=500)
    assert found.difference == 0
    assert (found.bootstrap.low, found.bootstrap.high, found.bootstrap.not_better) == (0, 0, 1)
    assert found.randomisation.p == 1


def test_a_tagger_that_is_always_better_is_significantly_better():
    found = compare([RIGHT] * 40, [[]] * 40, [RIGHT] * 40)
    assert found.difference == 1
    assert found.bootstrap.low == 1
    assert found.randomisation.p == 1 / 10_001


def test_the_same_seed_gives_the_same_result_and_batches_have_all_samples():
    gold, a, b = [RIGHT] * 30, [RIGHT, []] * 15, [RIGHT, RIGHT, []] * 10
    assert compare(gold, a, b, samples=300) == compare(gold, a, b, samples=300)
    assert compare(gold, a, b, samples=300) != compare(gold, a, b, samples=300, seed=2)
    assert sum(batch_sizes(10_001, 3257)) == 10_001
    assert max(batch_sizes(10, 10**9)) == 1


def test_nothing_to_compare_on_is_an_error():
    with pytest.raises(ValueError, match="no posts"):
        compare([], [], [])
