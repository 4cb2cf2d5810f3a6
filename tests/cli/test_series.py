"""Tests of series on the command line: the table of runs, and lists of seeds."""

from __future__ import annotations

import pytest

from ita_pipeline.cli.series import parse_seeds, series_table
from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.compare import summarize
from tests.support.series import series_run


def test_the_table_shows_every_run_and_the_means_of_several_seeds():
    lines = series_table(summarize([series_run("all", 1, 0.5), series_run("all", 2, 0.7)])).splitlines()
    assert lines[1].split() == ["all", "1", "50.00", "25.00", "50.00", "25.00", "runs/x/all1"]
    assert lines[-1].split("  ")[-1] == "30.00 ± 7.07"
    assert len(series_table(summarize([series_run("text", 1, 0.5), series_run("all", 1, 0.7)])).splitlines()) == 3


@pytest.mark.parametrize(("text", "seeds"), [("", ()), ("1,2,3", (1, 2, 3)), (" 7 ,8,", (7, 8))])
def test_a_list_of_seeds_is_parsed(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["1,x", "-1", "1.5", ",", "²"])
def test_an_invalid_list_of_seeds_is_refused(text: str):
    with pytest.raises(UsageError, match="no list of seeds"):
        parse_seeds(text)
