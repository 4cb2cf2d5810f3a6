"""The cost model: what is calculated is what the simulation comes to, and neither forgets a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale_model import (
    DAY,
    Assumed,
    Measured,
    bytes_of,
    calculated,
    limits,
    round_seconds,
    seconds_of,
    simulated,
)

MEASURED = Measured()
SOME = Assumed(workers=50)
PICTURES = 1_000_000


@pytest.mark.parametrize(
    "assumed",
    [SOME, replace(SOME, between_losses=DAY / 4), replace(SOME, refused=0.3), replace(SOME, faster=20.0)],
)
def test_the_calculation_is_what_the_simulation_comes_to(assumed: Assumed):
    wanted, found = calculated(PICTURES, MEASURED, assumed), simulated(PICTURES, MEASURED, assumed)
    assert found.size == pytest.approx(PICTURES * bytes_of(MEASURED))
    assert found.worker_hours == pytest.approx(wanted.worker_hours, rel=0.02)
    assert found.puts == pytest.approx(wanted.puts, rel=0.05)
    assert found.objects == pytest.approx(wanted.objects, rel=0.05)
    assert wanted.hours <= found.hours <= wanted.hours * 1.15 + 0.1


def test_it_is_the_same_every_time_and_more_workers_are_faster():
    assert simulated(PICTURES, MEASURED, SOME) == simulated(PICTURES, MEASURED, SOME)
    faster = simulated(PICTURES, MEASURED, replace(SOME, workers=100))
    assert faster.hours < simulated(PICTURES, MEASURED, SOME).hours * 0.6


def test_a_slow_store_is_what_a_run_waits_for_in_the_end():
    slow = replace(SOME, put_seconds=400.0)
    assert simulated(PICTURES, MEASURED, slow).hours > calculated(PICTURES, MEASURED, slow).hours * 2


def test_segments_are_closed_when_old_or_large():
    assert round_seconds(MEASURED, SOME) == SOME.oldest
    quick = replace(SOME, faster=1e5)
    assert round_seconds(MEASURED, quick) < SOME.oldest
    largest = max(stage.size for stage in MEASURED.stages)
    assert round_seconds(MEASURED, quick) / seconds_of(MEASURED, quick) * largest == pytest.approx(SOME.large)


def test_limits_grow_with_the_pictures():
    few, many = limits(10**7, MEASURED, SOME), limits(10**8, MEASURED, SOME)
    assert many.planner_gigabytes == pytest.approx(10 * few.planner_gigabytes)
    assert (few.shards, many.shards) == (2, 20)
