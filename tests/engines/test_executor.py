"""The executors: stages of different devices run at the same time, and all stages share the decoded images."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.executor import Executor, InProcessExecutor, Job, Limits, StageJobs
from ita_pipeline.engines.image_cache import DecodedImageCache
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.decode import open_image
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Item, Postponed, Result, StageError
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, draw_images, ref

# Each of two stages waits here until the other one has come, or raises.
meeting = threading.Barrier(2, timeout=20)
NAMES = "abcd"


class Near(SizeStage):
    """Runs on the CPU, and waits for a stage of another device."""

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        meeting.wait()
        return super().run(items)


class Far(Near):
    name = "far"

    @property
    def device(self) -> str:
        return "elsewhere"


class FarAway(SizeStage):
    """Runs on another device, and crashes or stops if the name of an image says so."""

    name = "far"

    @property
    def device(self) -> str:
        return "elsewhere"

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        if any("abort" in item.name for item in items):
            os.abort()
        if any("enough" in item.name for item in items):
            return [Postponed(reason="the server is gone", broken="broken" in items[0].name)] * len(items)
        return super().run(items)


class Turns(SizeStage):
    """Counts how many stages of its kind run at once."""

    lock = threading.Lock()
    now = most = 0

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        with self.lock:
            Turns.now += 1
            Turns.most = max(Turns.most, Turns.now)
        results = super().run(items)
        with self.lock:
            Turns.now -= 1
        return results


class OtherTurns(Turns):
    name = "other"


class FarDouble(DoubleStage):
    @property
    def device(self) -> str:
        return "elsewhere"


@pytest.fixture(params=[InProcessExecutor, SubprocessExecutor])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with SubprocessExecutor() as in_subprocess:
        yield in_subprocess if request.param is SubprocessExecutor else request.param()


def run(stages: Sequence[SizeStage], images: list[ImageRef], executor: Executor) -> tuple[StageOutcome, ...]:
    store = Store(Path("store"))
    return LocalEngine(executor).run(make_plan(stages, images, store), store, NoProgress())


def results_of(stage: SizeStage, outcome: StageOutcome) -> list[Result]:
    records = Store(Path("store")).results(stage, outcome.key)
    return sorted((record.result for record in records.values()), key=str)


def test_stages_of_different_devices_run_at_the_same_time(executor: Executor):
    near, far = Near(SizeConfig(batch=2)), Far(SizeConfig(batch=4))
    outcomes = run([near, far], draw_images(*NAMES)[:2], executor)
    assert [outcome.done for outcome in outcomes] == [2, 2]
    expected = [SizeValue(width=1, height=5), SizeValue(width=2, height=5)]
    assert results_of(near, outcomes[0]) == results_of(far, outcomes[1]) == expected


def test_stages_of_one_device_run_in_turn():
    outcomes = run([Turns(), OtherTurns(), FarAway()], draw_images(*NAMES), InProcessExecutor())
    assert [outcome.done for outcome in outcomes] == [4, 4, 4]
    assert Turns.most == 1


def test_a_stage_runs_after_the_stage_that_it_reads(executor: Executor):
    double = FarDouble(SizeConfig(batch=4))
    outcomes = run([SizeStage(SizeConfig(batch=4)), double], draw_images(*NAMES), executor)
    assert results_of(double, outcomes[1])[0] == SizeValue(width=2, height=10)


def test_a_crash_is_a_failure_of_the_stage_and_image_that_caused_it():
    with SubprocessExecutor() as worker:
        size, far = run([SizeStage(), FarAway(SizeConfig(batch=4))], draw_images("a", "b", "abort", "c"), worker)
    assert (size.done, size.failed) == (4, ())
    (failed,) = far.failed
    assert far.done == 3
    assert failed.item.path.name == "abort.png"
    assert isinstance(failed.failure, Failure)
    assert "SIGABRT" in failed.failure.reason


def test_a_stage_that_stops_gets_no_more_images_and_the_other_continues(executor: Executor):
    far = FarAway(SizeConfig(batch=1))
    size, stopped = run([SizeStage(SizeConfig(batch=8)), far], draw_images("a", "enough", "b"), executor)
    assert (size.done, size.waiting) == (3, 0)
    assert (stopped.done, stopped.waiting, stopped.note) == (1, 2, "the server is gone")


def test_a_broken_stage_ends_the_run_and_results_of_the_other_stage_are_kept(executor: Executor):
    images = draw_images("enough broken", "a")
    size = SizeStage(SizeConfig(batch=8))
    with pytest.raises(StageError, match="the stage far stopped: the server is gone"):
        run([size, FarAway(SizeConfig(batch=8))], images, executor)
    (again,) = run([size], images, executor)
    assert (again.fresh, again.done) == (2, 0)


def test_a_stop_request_keeps_the_results_of_both_stages():
    class Stopping(NoProgress):
        stop_requested = True

    images, store = draw_images(*NAMES), Store(Path("store"))
    stages = [SizeStage(SizeConfig(batch=2)), FarAway(SizeConfig(batch=1))]
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(InProcessExecutor()).run(make_plan(stages, images, store), store, Stopping())
    assert [outcome.fresh for outcome in run(stages, images, InProcessExecutor())] == [2, 2]


class Counting(SizeStage):
    """Remembers the number of images in each batch."""

    def __init__(self, config: SizeConfig) -> None:
        super().__init__(config)
        self.batches: list[int] = []

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        self.batches.append(len(items))
        return super().run(items)


def test_only_as_many_images_as_fit_in_memory_are_decoded_for_a_batch():
    small, large = (100, 100), (500, 500)  # 40 kB and 1 MB once decoded
    sizes = [small] * 6 + [large] * 3 + [small]
    images = [ref(draw(Path(f"in/{number}.png"), size=size)) for number, size in enumerate(sizes)]
    Path("in/bad.png").write_bytes(b"no picture")
    jobs = [Job(image) for image in [*images, ref(Path("in/bad.png"))]]
    stage = Counting(SizeConfig(batch=4))
    results = InProcessExecutor(Limits(decoded_megabytes=5)).run_task(StageJobs(stage, jobs)).results
    # Half of the memory is for a batch, and one more image of its largest size while that is being converted.
    assert stage.batches == [4, 3, 1, 3]
    assert results[:-1] == [SizeValue(width=width, height=height) for width, height in sizes]
    assert isinstance(results[-1], Failure)


def test_an_image_larger_than_the_memory_for_all_is_decoded_alone():
    images = [ref(draw(Path(f"in/{number}.png"), size=(1000, 1000))) for number in range(2)]
    stage = Counting(SizeConfig(batch=4))
    InProcessExecutor(Limits(decoded_megabytes=1)).run_task(StageJobs(stage, [Job(image) for image in images]))
    assert stage.batches == [1, 1]


@dataclass(frozen=True)
class Elsewhere(LocalFile):
    """An image on another machine, which counts how often it is fetched."""

    fetched: ClassVar[Counter[str]] = Counter()

    @property
    def is_remote(self) -> bool:
        return True

    def read(self, max_bytes: int) -> bytes:
        self.fetched[self.path.name] += 1
        return super().read(max_bytes)


def test_images_are_not_fetched_once_more_for_their_size():
    jobs = [Job(ImageRef(image.key, Elsewhere(image.path))) for image in draw_images(*NAMES)]
    InProcessExecutor().run_task(StageJobs(SizeStage(), jobs))
    assert Elsewhere.fetched == {f"{name}.png": 1 for name in NAMES}


class Other(SizeStage):
    name = "other"


def test_all_stages_of_a_run_share_one_decoding():
    decoded: Counter[str] = Counter()

    def decode(image: ImageRef) -> Image.Image:
        decoded[Path(image.label).name] += 1
        return open_image(image)

    executor = InProcessExecutor()
    executor.image_cache = DecodedImageCache(decode, 10**6)
    outcomes = run([SizeStage(SizeConfig(batch=3)), Other(SizeConfig(batch=2))], draw_images(*"abcdefg"), executor)
    assert [outcome.done for outcome in outcomes] == [7, 7]
    assert decoded == {f"{name}.png": 1 for name in "abcdefg"}
