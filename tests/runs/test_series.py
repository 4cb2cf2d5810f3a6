"""Tests of series: the runs that are planned, and their means."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.plan import TrainOptions
from ita_pipeline.runs.series import format_contexts, plan_series, summarize
from tests.support.series import series_run


def pairs(
    seeds: Sequence[int], views: Sequence[str], training: TrainOptions | None = None
) -> list[tuple[str, object]]:
    return [
        (format_contexts(one.contexts), one.seed) for one in plan_series(training or TrainOptions(), seeds, views)
    ]


def test_every_context_is_trained_with_every_seed():
    assert pairs([1, 2], ["text", "all"]) == [("text", 1), ("text", 2), ("all", 1), ("all", 2)]
    assert pairs([3, 1, 3], []) == [("all", 3), ("all", 1)]
    assert pairs([], ["ocr"]) == [("ocr", None)]
    assert pairs([], [], TrainOptions(contexts=("ocr", "caption"), seed=4)) == [("ocr+caption", 4)]
    assert pairs([], [], TrainOptions(contexts=())) == [("text", None)]


def test_each_name_of_a_view_selects_its_contexts():
    planned = plan_series(TrainOptions(), [], ["text", "caption", "caption+ocr", "all"])
    assert [one.contexts for one in planned] == [(), ("caption",), ("caption", "ocr"), None]


def test_the_hint_for_a_misspelled_view_is_the_nearest_one():
    with pytest.raises(UsageError, match="no view captoin") as caught:
        plan_series(TrainOptions(), [], ["text", "ocr+captoin"])
    assert caught.value.hint == "did you mean caption?"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_rows_are_means_and_deviations_of_the_seeds(values: list[float]):
    runs = [series_run("all", seed, value) for seed, value in enumerate(values)] + [series_run("text", 0, 0.5)]
    all_row, text_row = summarize(runs).rows
    seeds_mean = all_row.f1["test"]["text"]
    assert seeds_mean.mean == pytest.approx(statistics.fmean(values))
    assert all_row.seeds == tuple(range(len(values)))
    if len(values) > 1:
        assert seeds_mean.sd == pytest.approx(statistics.stdev(values))
    else:
        assert seeds_mean.sd is None
    assert text_row.f1["dev"]["text+image"].mean == 0.25
