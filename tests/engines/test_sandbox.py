"""The executor in a process of its own: an image that crashes or blocks the process fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.records import encode
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import Limits, StageJobs, StageResults
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, FailureKind, Item, StageError, Value
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, draw_images
from tests.support.jobs import failures, make_jobs, run_hostile, run_jobs
from tests.support.odd_stages import Hostile, Invalid, KilledInOpen, RaisesInOpen, Unready


class Dying(Hostile):
    """Crashes its process at every image."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        return super().run([Item("", "abort", None)])


class Crashing(Hostile):
    name = "crashing"


def test_results_come_back_in_order():
    with SubprocessExecutor() as executor:
        stage = SizeStage()
        results = run_jobs(executor, stage, make_jobs("a", "b", "c"))
        assert results == [SizeValue(width=n, height=5) for n in (1, 2, 3)]
        assert run_jobs(executor, stage, make_jobs("d")) == [SizeValue(width=1, height=5)]


def test_an_image_that_crashes_the_process_fails_alone():
    failed = failures(run_hostile(["a", "b", "abort", "c"]))
    assert list(failed) == [2]
    assert failed[2].kind is FailureKind.PERMANENT
    assert "SIGABRT" in failed[2].reason


def test_a_process_that_is_killed_once_costs_no_image():
    assert failures(run_hostile(["killed"])) == {}


def test_an_image_that_takes_too_long_fails_for_lack_of_resources():
    failed = failures(run_hostile(["a", "hang"], Limits(seconds=1)))
    assert list(failed) == [1]
    assert failed[1].kind is FailureKind.RESOURCE
    assert "longer than 1 s" in failed[1].reason


def test_a_stage_that_crashes_at_every_image_is_broken():
    with SubprocessExecutor() as executor, pytest.raises(StageError, match="fails on any picture"):
        run_jobs(executor, Dying(), make_jobs("a", "b"))


def test_the_error_of_a_stage_that_cannot_be_opened_keeps_its_message_and_hint():
    with SubprocessExecutor() as executor, pytest.raises(StageError, match="the weights are gone") as error:
        executor.open(Unready())
    assert error.value.hint == "get them"


def test_whatever_a_stage_raises_while_it_opens_is_named():
    with SubprocessExecutor() as executor:
        for name in ("RuntimeError", "SystemExit"):
            Path("raise").write_text(name)
            with pytest.raises(StageError, match=f"the stage size cannot be opened: {name}: odd"):
                executor.open(RaisesInOpen())
        executor.open(stage := Invalid())
        with pytest.raises(StageError, match=r"the stage size gave a result for .* that cannot be stored"):
            run_jobs(executor, stage, make_jobs("a"))
        executor.open(stage := SizeStage())
        assert run_jobs(executor, stage, make_jobs("a")) == [SizeValue(width=1, height=5)]


def test_a_process_that_is_killed_once_while_a_stage_opens_costs_nothing():
    with SubprocessExecutor() as executor:
        assert executor.open(SizeStage()) == executor.open(stage := KilledInOpen()) == "cpu"
        assert run_jobs(executor, stage, make_jobs("a")) == [SizeValue(width=1, height=5)]


def test_a_process_that_is_killed_each_time_a_stage_opens_is_named_with_the_signal():
    Path("always").touch()
    with SubprocessExecutor() as executor, pytest.raises(StageError, match=r"died twice .*SIGKILL") as error:
        executor.open(KilledInOpen())
    assert "memory" in error.value.hint


def test_a_crash_of_one_stage_costs_no_result_of_the_other_stages(tmp_path: Path):
    images = draw_images("a", "b", "c", "abort", "d", "e")
    store, stages = Store(tmp_path), [SizeStage(SizeConfig(batch=2)), Crashing(SizeConfig(batch=2))]
    with SubprocessExecutor() as executor:
        size, crashing = LocalEngine(executor).run(make_plan(stages, images, store), store, NoProgress())
    assert size.done == 6
    assert crashing.done == 5
    assert [Path(failed.item.label).name for failed in crashing.failed] == ["abort.png"]


def test_records_are_appended_as_the_worker_wrote_them(tmp_path: Path):
    names = ["a", "abort", "b", "c"]
    plan = make_plan([Hostile(SizeConfig(batch=8))], draw_images(*names), Store(tmp_path / "plan"))
    (stage_plan,) = plan.stages
    store = Store(tmp_path / "store")
    with SubprocessExecutor() as executor:
        run_task, answers = executor.run_task, list[StageResults]()

        def remember(task: StageJobs) -> StageResults:
            answers.append(run_task(task))
            return answers[-1]

        executor.run_task = remember
        LocalEngine(executor).run(plan, store, NoProgress())
    (segment,) = store.folder(stage_plan.key).glob("*.jsonl")
    written = segment.read_bytes().splitlines(keepends=True)
    lines = {image: line for answer in answers for image, line in answer.lines.items()}
    assert set(lines.values()) <= set(written)
    assert len(lines) == 3  # the worker died at the other one, so this process wrote its failure
    records = store.results(stage_plan.stage, stage_plan.key)
    assert sorted(written) == sorted(encode(record) for record in records.values())
    assert len(records) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(b'{"image": "', b'{"image": "0", "image": "'),
        lambda line: line[:-3] + b'g"}',
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
            run_jobs(executor, stage, make_jobs("a"))
