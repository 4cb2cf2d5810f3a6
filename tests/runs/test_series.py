"""Several runs: which ones, and their means."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cli.series import parse_seeds, series_table
from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.plan import TrainOptions
from ita_pipeline.runs.series import SeriesRun, format_contexts, plan_series, summarize


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


def test_the_contexts_of_each_name():
    planned = plan_series(TrainOptions(), [], ["text", "caption", "caption+ocr", "all"])
    assert [one.contexts for one in planned] == [(), ("caption",), ("caption", "ocr"), None]


def test_a_misspelt_view_gets_the_nearest():
    with pytest.raises(UsageError, match="no view captoin") as caught:
        plan_series(TrainOptions(), [], ["text", "ocr+captoin"])
    assert caught.value.hint == "did you mean caption?"


def run(contexts: str, seed: int, f1: float) -> SeriesRun:
    split = {"text": f1, "text+image": f1 / 2}
    return SeriesRun(
        dataset="x",
        contexts=contexts,
        seed=seed,
        run=f"runs/x/{contexts}{seed}",
        new=True,
        f1={"dev": split, "test": split},
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_rows_are_means_and_deviations_of_the_seeds(values: list[float]):
    runs = [run("all", seed, value) for seed, value in enumerate(values)] + [run("text", 0, 0.5)]
    all_row, text_row = summarize(runs).rows
    seeds_mean = all_row.f1["test"]["text"]
    assert seeds_mean.mean == pytest.approx(statistics.fmean(values))
    assert all_row.seeds == tuple(range(len(values)))
    if len(values) > 1:
        assert seeds_mean.sd == pytest.approx(statistics.stdev(values))
    else:
        assert seeds_mean.sd is None
    assert text_row.f1["dev"]["text+image"].mean == 0.25


def test_the_table_has_every_run_and_the_means_of_several_seeds():
    lines = series_table(summarize([run("all", 1, 0.5), run("all", 2, 0.7)])).splitlines()
    assert lines[1].split() == ["all", "1", "50.00", "25.00", "50.00", "25.00", "runs/x/all1"]
    assert lines[-1].split("  ")[-1] == "30.00 ± 7.07"
    assert len(series_table(summarize([run("text", 1, 0.5), run("all", 1, 0.7)])).splitlines()) == 3


@pytest.mark.parametrize(("text", "seeds"), [("", ()), ("1,2,3", (1, 2, 3)), (" 7 ,8,", (7, 8))])
def test_lists_of_seeds(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["1,x", "-1", "1.5", ",", "²"])
def test_what_is_no_list_of_seeds(text: str):
    with pytest.raises(UsageError, match="no list of seeds"):
        parse_seeds(text)
