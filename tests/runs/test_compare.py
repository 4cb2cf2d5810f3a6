"""Tests of the comparison of runs: two runs on the same posts, and the runs and means of a series."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.posts import Span
from ita_pipeline.runs.compare import Variations, compare_runs, format_contexts, plan_series, summarize
from ita_pipeline.runs.plan import TrainOptions
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE
from tests.support.finished_run import GOLD, NOTHING, finished_run
from tests.support.series import series_run


def test_runs_are_compared_in_both_views():
    comparison = compare_runs(finished_run("a", NOTHING, GOLD), finished_run("b", GOLD, GOLD), samples=200)
    assert (comparison.posts, comparison.mentions, comparison.split) == (3, 2, "test")
    assert (comparison.views[TEXT].a, comparison.views[TEXT].b) == (0, 1)
    assert comparison.views[TEXT_AND_IMAGE].difference == 0


def test_runs_with_different_posts_or_labels_are_refused():
    a = finished_run("a", GOLD, GOLD)
    with pytest.raises(UsageError, match="the words of post 1 differ"):
        compare_runs(a, finished_run("b", GOLD, GOLD, words="Ada Marlow"))
    with pytest.raises(UsageError, match="different posts: 3 and 2"):
        compare_runs(a, finished_run("c", GOLD[:2], GOLD[:2], gold=GOLD[:2]))
    with pytest.raises(UsageError, match=r'post 2 differ: \["Ashby LOC"\] and \["Ashby ORG"\]'):
        compare_runs(a, finished_run("d", GOLD, GOLD, gold=[GOLD[0], [Span(1, 2, "ORG")], []]))
    with pytest.raises(MissingError, match="dev"):
        compare_runs(a, a, split="dev")


def pairs(
    seeds: Sequence[int], views: Sequence[str], training: TrainOptions | None = None
) -> list[tuple[str, object]]:
    return [
        (format_contexts(one.contexts), one.seed)
        for one in plan_series(training or TrainOptions(), Variations(seeds, views))
    ]


def test_every_context_is_trained_with_every_seed():
    assert pairs([1, 2], ["text", "all"]) == [("text", 1), ("text", 2), ("all", 1), ("all", 2)]
    assert pairs([3, 1, 3], []) == [("all", 3), ("all", 1)]
    assert pairs([], ["ocr"]) == [("ocr", None)]
    assert pairs([], [], TrainOptions(contexts=("ocr", "caption"), seed=4)) == [("ocr+caption", 4)]
    assert pairs([], [], TrainOptions(contexts=())) == [("text", None)]


def test_each_name_of_a_view_selects_its_contexts():
    planned = plan_series(TrainOptions(), Variations(views=["text", "caption", "caption+ocr", "all"]))
    assert [one.contexts for one in planned] == [(), ("caption",), ("caption", "ocr"), None]


def test_each_objective_is_trained_with_each_seed():
    planned = plan_series(TrainOptions(), Variations([1, 2], objectives=["none", "both", "aligned"]))
    assert [(one.objective, one.seed) for one in planned] == [
        (objective, seed) for objective in ("none", "both", "aligned") for seed in (1, 2)
    ]
    assert [one.objective for one in plan_series(TrainOptions(objective="both"), Variations())] == ["both"]
    with pytest.raises(UsageError, match="no objective algined") as caught:
        plan_series(TrainOptions(), Variations(objectives=["algined"]))
    assert caught.value.hint == "did you mean aligned?"


def test_each_number_of_train_posts_is_trained_with_each_seed():
    planned = plan_series(TrainOptions(), Variations([1, 2], train_sizes=[250, None]))
    assert [(one.train_size, one.seed) for one in planned] == [(250, 1), (250, 2), (None, 1), (None, 2)]


def test_the_hint_for_a_misspelled_view_is_the_nearest_one():
    with pytest.raises(UsageError, match="no view captoin") as caught:
        plan_series(TrainOptions(), Variations(views=["text", "ocr+captoin"]))
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
