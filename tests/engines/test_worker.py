"""The worker process: it keeps the limits."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from ita_pipeline.cache.records import Record, decode, encode
from ita_pipeline.engines.executor import Job, Limits
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, FailureKind, Postponed
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, draw, ref
from tests.support.jobs import failures, make_jobs, run_hostile, run_jobs
from tests.support.odd_stages import Frugal, Wordy, WordyValue

ORIENTATION = 0x0112  # in EXIF


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "P"])
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_picture_of_forty_megapixels_is_decoded_in_little_memory(mode: str):
    picture = Image.new(mode, (8000, 5000))
    if mode == "RGB":
        picture.getexif()[ORIENTATION] = 6  # stored lying on its side
    picture.save("large.png", exif=picture.getexif())
    with SubprocessExecutor(Limits(memory_megabytes=480)) as executor:
        (result,) = run_jobs(executor, SizeStage(), [Job(ref(Path("large.png")))])
    assert isinstance(result, SizeValue)
    assert {result.width, result.height} == {8000, 5000}


def test_a_value_above_one_megabyte_is_a_failure_and_an_old_one_stays_readable():
    with SubprocessExecutor() as executor:
        small, large = run_jobs(executor, stage := Wordy(), make_jobs("a", "b"))
    assert isinstance(small, WordyValue)
    assert isinstance(large, Failure)
    assert large.kind is FailureKind.RESOURCE
    assert re.fullmatch(r"the result has 1,600,1\d\d bytes, more than the 1,048,576 that .*", large.reason)
    old = Record("b", WordyValue(words=("word",) * 200_000), 1.0)
    assert decode(encode(old)[:-1], stage.value_type) == old


def test_a_stage_that_stops_postpones_the_rest_of_its_jobs():
    with SubprocessExecutor() as executor:
        results = run_jobs(executor, Frugal(SizeConfig(batch=2)), make_jobs(*"abcdefg"))
    assert results[:3] == [SizeValue(width=width, height=5) for width in (1, 2, 3)]
    assert results[3:] == [Postponed(reason="the budget is spent")] * 4
