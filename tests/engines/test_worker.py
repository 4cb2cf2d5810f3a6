"""The worker process: it keeps the limits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ita_pipeline.engines.executor import Job, Limits
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, FailureKind, Postponed
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, draw, ref
from tests.support.jobs import failures, make_jobs, run_hostile, run_jobs
from tests.support.odd_stages import Frugal


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_an_image_that_needs_too_much_memory_fails_for_lack_of_resources():
    failed = failures(run_hostile(["a", "hungry"], Limits(memory_megabytes=500)))
    assert list(failed) == [1]
    assert failed[1].kind is FailureKind.RESOURCE
    assert "MemoryError" in failed[1].reason


def test_the_limit_of_pixels_holds_in_the_worker():
    with SubprocessExecutor(Limits(megapixels=1)) as executor:
        image = ref(draw(Path("in/a.png"), size=(1200, 1000)))
        (result,) = run_jobs(executor, SizeStage(), [Job(image)])
    assert isinstance(result, Failure)
    assert "pixels" in result.reason


def test_a_stage_that_stops_postpones_the_rest_of_its_jobs():
    with SubprocessExecutor() as executor:
        results = run_jobs(executor, Frugal(SizeConfig(batch=2)), make_jobs(*"abcdefg"))
    assert results[:3] == [SizeValue(width=width, height=5) for width in (1, 2, 3)]
    assert results[3:] == [Postponed(reason="the budget is spent")] * 4
