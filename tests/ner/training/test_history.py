"""Which epoch is kept, and when training stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.ner.training.history import EpochScore, best_epoch, should_stop

SCORES = st.floats(0, 1)


def history(*means: float) -> list[EpochScore]:
    return [
        EpochScore(epoch=n, loss=0, nll_text=0, nll_context=0, alignment=0, text_f1=mean, context_f1=mean)
        for n, mean in enumerate(means, 1)
    ]


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=8))
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


@given(st.lists(SCORES, min_size=1, max_size=10), st.integers(1, 5))
def test_it_never_stops_right_after_its_best_epoch(means: list[float], patience: int):
    found = history(*means)
    if best_epoch(found) == len(found) - 1:
        assert not should_stop(found, patience)
