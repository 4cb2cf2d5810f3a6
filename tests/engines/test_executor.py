"""Stages on different devices work at the same time, on the same pictures, and are told apart when one dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.executor import Executor, InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Item, Postponed, Result, StageError
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, ref

# Whoever comes to it waits until another one is there, or raises.
meeting = threading.Barrier(2, timeout=20)
NAMES = "abcd"


class Near(SizeStage):
    """Works on the processor and waits for somebody who works elsewhere."""

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        meeting.wait()
        return super().run(items)


class Far(Near):
    name = "far"

    @property
    def device(self) -> str:
        return "elsewhere"


class FarAway(SizeStage):
    """Works elsewhere, and does what the name of a picture says."""

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
    """Notes how many like it are at work at once."""

    lock = threading.Lock()
    now = most = 0

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        with self.lock:
            Turns.now += 1
            Turns.most = max(Turns.most, Turns.now)
        found = super().run(items)
        with self.lock:
            Turns.now -= 1
        return found


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


def images(*names: str) -> list[ImageRef]:
    return [ref(draw(Path(f"in/{name}.png"), size=(n + 1, 5))) for n, name in enumerate(names)]


def run(stages: Sequence[SizeStage], found: list[ImageRef], executor: Executor) -> tuple[StageOutcome, ...]:
    store = Store(Path("store"))
    return LocalEngine(executor).run(make_plan(stages, found, store), store, NoProgress())


def said(stage: SizeStage, outcome: StageOutcome) -> list[Result]:
    records = Store(Path("store")).results(stage, outcome.key)
    return sorted((record.result for record in records.values()), key=str)


def test_they_work_at_the_same_time(executor: Executor):
    near, far = Near(SizeConfig(batch=2)), Far(SizeConfig(batch=4))
    outcomes = run([near, far], images(*NAMES)[:2], executor)
    assert [outcome.done for outcome in outcomes] == [2, 2]
    expected = [SizeValue(width=1, height=5), SizeValue(width=2, height=5)]
    assert said(near, outcomes[0]) == said(far, outcomes[1]) == expected


def test_those_of_one_device_take_turns():
    outcomes = run([Turns(), OtherTurns(), FarAway()], images(*NAMES), InProcessExecutor())
    assert [outcome.done for outcome in outcomes] == [4, 4, 4]
    assert Turns.most == 1


def test_who_reads_another_comes_after_it(executor: Executor):
    double = FarDouble(SizeConfig(batch=4))
    outcomes = run([SizeStage(SizeConfig(batch=4)), double], images(*NAMES), executor)
    assert said(double, outcomes[1])[0] == SizeValue(width=2, height=10)


def test_a_death_is_held_against_the_stage_and_the_picture_that_it_came_of():
    with SubprocessExecutor() as worker:
        size, far = run([SizeStage(), FarAway(SizeConfig(batch=4))], images("a", "b", "abort", "c"), worker)
    assert (size.done, size.failed) == (4, ())
    (failed,) = far.failed
    assert far.done == 3
    assert failed.item.path.name == "abort.png"
    assert isinstance(failed.failure, Failure)
    assert "SIGABRT" in failed.failure.reason


def test_one_that_stops_is_asked_no_more_and_the_other_goes_on(executor: Executor):
    far = FarAway(SizeConfig(batch=1))
    size, stopped = run([SizeStage(SizeConfig(batch=8)), far], images("a", "enough", "b"), executor)
    assert (size.done, size.waiting) == (3, 0)
    assert (stopped.done, stopped.waiting, stopped.note) == (1, 2, "the server is gone")


def test_one_that_cannot_go_on_ends_the_run_and_what_the_other_found_is_kept(executor: Executor):
    found = images("enough broken", "a")
    size = SizeStage(SizeConfig(batch=8))
    with pytest.raises(StageError, match="the stage far stopped: the server is gone"):
        run([size, FarAway(SizeConfig(batch=8))], found, executor)
    (again,) = run([size], found, executor)
    assert (again.fresh, again.done) == (2, 0)


def test_who_is_asked_to_stop_keeps_what_both_found():
    class Stopping(NoProgress):
        stop_requested = True

    found, store = images(*NAMES), Store(Path("store"))
    stages = [SizeStage(SizeConfig(batch=2)), FarAway(SizeConfig(batch=1))]
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(InProcessExecutor()).run(make_plan(stages, found, store), store, Stopping())
    assert [outcome.fresh for outcome in run(stages, found, InProcessExecutor())] == [2, 2]
