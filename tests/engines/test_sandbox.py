"""The worker: whatever a picture does to it hurts that picture only, and nothing outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.records import encode
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import Job, Limits, StageJobs, StageResults
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, FailureKind, Item, Result, StageError, Value
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, draw, ref


class Hostile(SizeStage):
    """Does what the name of a picture says to the process that looks at it."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        for item in items:
            if "abort" in item.name:
                os.abort()
            if "hang" in item.name:
                time.sleep(600)
            if "hungry" in item.name:
                bytearray(3_000_000_000)
            if "killed" in item.name and not Path("once").exists():
                Path("once").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().run(items)


class Dying(SizeStage):
    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        os.abort()


class Unready(SizeStage):
    def open(self) -> None:
        raise StageError("the weights are gone", "get them")


def jobs(*names: str) -> list[Job]:
    return [Job(ref(draw(Path(f"in/{name}.png"), size=(n + 1, 5)))) for n, name in enumerate(names)]


def run_jobs(executor: SubprocessExecutor, stage: SizeStage, jobs: list[Job]) -> list[Result]:
    return executor.run_task(StageJobs(stage, jobs)).results


def work(names: list[str], **limits: float) -> list[Result]:
    with SubprocessExecutor(Limits(**limits)) as executor:
        return run_jobs(executor, Hostile(SizeConfig(batch=8)), jobs(*names))


def failures(results: list[Result]) -> dict[int, Failure]:
    return {number: result for number, result in enumerate(results) if isinstance(result, Failure)}


def test_values_come_back_in_order():
    with SubprocessExecutor() as executor:
        stage = SizeStage()
        found = run_jobs(executor, stage, jobs("a", "b", "c"))
        assert found == [SizeValue(width=n, height=5) for n in (1, 2, 3)]
        assert run_jobs(executor, stage, jobs("d")) == [SizeValue(width=1, height=5)]


def test_a_picture_that_kills_the_process_is_the_only_one_lost():
    failed = failures(work(["a", "b", "abort", "c"]))
    assert list(failed) == [2]
    assert failed[2].kind is FailureKind.PERMANENT
    assert "SIGABRT" in failed[2].reason


def test_a_process_killed_by_chance_costs_nothing():
    assert failures(work(["killed"])) == {}


def test_a_picture_that_takes_too_long_is_a_matter_of_resources():
    failed = failures(work(["a", "hang"], seconds=1))
    assert list(failed) == [1]
    assert failed[1].kind is FailureKind.RESOURCE
    assert "longer than 1 s" in failed[1].reason


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_picture_that_takes_too_much_memory_is_a_matter_of_resources():
    failed = failures(work(["a", "hungry"], memory_megabytes=500))
    assert list(failed) == [1]
    assert failed[1].kind is FailureKind.RESOURCE
    assert "MemoryError" in failed[1].reason


def test_limits_reach_the_decoder():
    Path("in").mkdir()
    with SubprocessExecutor(Limits(megapixels=1)) as executor:
        (found,) = run_jobs(executor, SizeStage(), [Job(ref(draw(Path("in/a.png"), size=(1200, 1000))))])
    assert isinstance(found, Failure)
    assert "pixels" in found.reason


def test_a_stage_that_dies_of_any_picture_is_broken():
    with SubprocessExecutor() as executor, pytest.raises(StageError, match="fails on any picture"):
        run_jobs(executor, Dying(), jobs("a", "b"))


def test_what_a_stage_lacks_is_said_in_its_own_words():
    with SubprocessExecutor() as executor, pytest.raises(StageError, match="the weights are gone") as error:
        executor.open(Unready())
    assert error.value.hint == "get them"


PARENT = """
import sys, time
from pathlib import Path
from ita_pipeline.engines.sandbox import SubprocessExecutor
from tests.support.fakes import SizeStage
worker = SubprocessExecutor()
worker.open(SizeStage())
print(worker.process.child.pid, worker.process.folder.name, flush=True)
time.sleep(600)
"""


def test_it_dies_with_its_parent_and_leaves_nothing_behind(tmp_path: Path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        for number in range(3000):  # enough to be still at it when its socket has told it, too, that we are gone
            (Path(folder) / str(number)).touch()
        parent.kill()
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists() and not Path(folder).exists():
            break
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_records_are_appended_as_the_worker_wrote_them(tmp_path: Path):
    names = ["a", "abort", "b", "c"]
    paths = [job.item for job in jobs(*names)]
    plan = make_plan([Hostile(SizeConfig(batch=8))], paths, Store(tmp_path / "plan"))
    (todo,) = plan.stages
    store = Store(tmp_path / "store")
    with SubprocessExecutor() as executor:
        run_task, answers = executor.run_task, list[StageResults]()

        def remember(task: StageJobs) -> StageResults:
            answers.append(run_task(task))
            return answers[-1]

        executor.run_task = remember
        LocalEngine(executor).run(plan, store, NoProgress())
    (segment,) = store.folder(todo.key).glob("*.jsonl")
    written = segment.read_bytes().splitlines(keepends=True)
    lines = {image: line for answer in answers for image, line in answer.lines.items()}
    assert set(lines.values()) <= set(written)
    assert len(lines) == 3  # the worker died of the fourth, so this process wrote why
    records = store.results(todo.stage, todo.key)
    assert sorted(written) == sorted(encode(record) for record in records.values())
    assert len(records) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(b'{"image": "', b'{"image": "0", "image": "'),
        lambda line: line[:-3] + b'0"}',
        lambda line: b"",
    ],
    ids=["another image for the index", "wrong check sum", "no line"],
)
def test_an_answer_that_is_no_record_of_the_item_is_refused(
    spoil: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
):
    with SubprocessExecutor() as executor:
        executor.open(stage := SizeStage())
        assert executor.process is not None
        receive = executor.process.receive
        monkeypatch.setattr(executor.process, "receive", lambda timeout: spoil(receive(timeout)[:-1]) + b"\n")
        with pytest.raises((StageError, ValueError)):
            run_jobs(executor, stage, jobs("a"))
