"""Logistic regression over hashed features."""

from __future__ import annotations

import numpy as np
import pytest

from ita_pipeline.grounding.linear import Logistic


def draw(number: int = 600) -> tuple[list[dict[str, float]], list[bool]]:
    """Examples whose log odds are 2a − b."""
    random = np.random.default_rng(1)
    examples = [{"a": float(a), "b": float(b)} for a, b in random.normal(size=(number, 2))]
    chances = [1 / (1 + np.exp(one["b"] - 2 * one["a"])) for one in examples]
    return examples, [bool(random.random() < chance) for chance in chances]


def test_the_weights_are_those_that_the_labels_were_drawn_with():
    examples, labels = draw()
    found = Logistic.fit(examples, labels, range(len(labels)), variance=100)
    odds = found.log_odds([{"a": 1.0}, {"b": 1.0}, {"unseen": 1.0}])
    assert odds == pytest.approx([2, -1, 0], abs=0.35)
    assert 0.8 < found.temperature < 1.25
    assert [name for name, _ in found.contributions({"b": 1.0, "a": 1.0, "unseen": 1.0})] == ["a", "b", "unseen"]


def test_without_examples_to_the_contrary_the_prior_stays():
    found = Logistic.fit([{"b": 1.0}], [True], [0], variance=0.01, prior={"a": 3.0})
    assert found.weights.sum() == pytest.approx(3, abs=0.1)
    assert Logistic.from_prior({"a": 3.0}).predict([{"a": 1.0}]) == pytest.approx([1 / (1 + np.exp(-3))])


def test_the_same_examples_give_the_same_weights():
    examples, labels = draw(60)
    first, second = (Logistic.fit(examples, labels, range(60), variance=1) for _ in range(2))
    assert (first.weights == second.weights).all()
