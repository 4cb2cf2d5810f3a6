"""The local engine: batches are safe one by one, and one bad picture harms neither the run nor its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Item, Postponed, Result, StageError, Value
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, ref


class Allergic(SizeStage):
    """Raises, without any manners, whenever a picture named `bad` is in the batch."""

    error: type[BaseException] = RuntimeError
    says = "CUDA out of memory"

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        if any("bad" in item.name for item in items):
            raise self.error(self.says)
        return super().run(items)


def images(folder: Path, *names: str) -> list[ImageRef]:
    return [ref(draw(folder / f"{name}.png", size=(n + 1, 5))) for n, name in enumerate(names)]


def run(stage: Any, found: list[ImageRef], store: Store, *more: Any) -> tuple[StageOutcome, ...]:
    return LocalEngine(InProcessExecutor()).run(make_plan([stage, *more], found, store), store, NoProgress())


def test_the_one_that_makes_a_stage_raise_fails_alone(tmp_path: Path):
    found = images(tmp_path / "in", "a", "b", "bad", "c", "d")
    stage = Allergic(SizeConfig(batch=5))
    (outcome,) = run(stage, found, Store(tmp_path))
    assert outcome.done == 4
    (failed,) = outcome.failed
    assert failed.item.path.name == "bad.png"
    assert failed.failure.kind == FailureKind.RESOURCE
    assert "CUDA out of memory" in failed.failure.reason


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("Failed to allocate memory for requested buffer of size 2768896", FailureKind.RESOURCE),
        ("error: (-4:Insufficient memory) Failed to allocate 9437184 bytes", FailureKind.RESOURCE),
        ("no such layer", FailureKind.PERMANENT),
    ],
)
def test_a_library_that_lacks_memory_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, kind: FailureKind
):
    monkeypatch.setattr(Allergic, "says", says)
    (outcome,) = run(Allergic(), images(tmp_path / "in", "a", "bad"), Store(tmp_path))
    assert [failed.failure.kind for failed in outcome.failed] == [kind]


class Hopeless(SizeStage):
    """Raises whatever the picture."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        raise RuntimeError("no such layer")


def test_a_stage_that_fails_on_everything_is_broken_and_nothing_is_remembered(tmp_path: Path):
    found = images(tmp_path / "in", "bad1", "bad2", "bad3")
    store = Store(tmp_path)
    with pytest.raises(StageError, match="fails on any picture"):
        run(Hopeless(SizeConfig(batch=3)), found, store)
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_batch_of_nothing_but_culprits_is_remembered(tmp_path: Path):
    (outcome,) = run(Allergic(), images(tmp_path / "in", "bad1", "bad2"), Store(tmp_path))
    assert len(outcome.failed) == 2


def test_what_was_done_before_an_interrupt_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Allergic, "error", KeyboardInterrupt)
    found = images(tmp_path / "in", "a", "b", "c", "d", "bad", "e")
    with pytest.raises(KeyboardInterrupt):
        run(Allergic(), found, Store(tmp_path))
    rest = SizeStage()
    run(rest, found, Store(tmp_path))
    assert rest.asked == ["bad.png", "e.png"]


def test_a_stage_that_reads_another_fails_with_it_and_says_which(tmp_path: Path):
    found = images(tmp_path / "in", "a", "bad")
    double = DoubleStage()
    _, outcome = run(Allergic(SizeConfig(batch=1)), found, Store(tmp_path), double)
    (failed,) = outcome.failed
    assert failed.failure.reason.startswith("size: ")
    assert double.asked == ["a.png"]


def test_weights_are_loaded_only_where_there_is_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr(SizeStage, "open", lambda self: opened.append(self.name))
    found = images(tmp_path / "in", "a")
    run(SizeStage(), found, Store(tmp_path))
    run(SizeStage(), found, Store(tmp_path))
    assert opened == ["size"]


def test_a_picture_that_changes_under_the_run_is_no_result(tmp_path: Path):
    found = images(tmp_path / "in", "a")
    draw(found[0].path, "blue", (9, 9))
    (outcome,) = run(SizeStage(), found, Store(tmp_path))
    assert outcome.failed[0].failure.kind == FailureKind.TRANSIENT
    assert "changed" in outcome.failed[0].failure.reason


def test_values_reach_the_store(tmp_path: Path):
    found = images(tmp_path / "in", "a")
    store = Store(tmp_path)
    (outcome,) = run(SizeStage(), found, store)
    record = Store(tmp_path).results(SizeStage(), outcome.key)[found[0].key]
    assert record.result == SizeValue(width=1, height=5)


def test_asked_to_stop_it_finishes_the_batch_in_hand(tmp_path: Path):
    class Stopping(NoProgress):
        stop_requested = True

    found = images(tmp_path / "in", "a", "b", "c")
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(InProcessExecutor()).run(make_plan([SizeStage()], found, store), store, Stopping())
    rest = SizeStage()
    run(rest, found, Store(tmp_path))
    assert rest.asked == ["c.png"]


class Frugal(SizeStage):
    """Looks at so many pictures, and has had enough then."""

    left = 0

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        some = super().run(items[: self.left])
        self.left -= len(some)
        return [*some, *[Postponed(reason="the budget is spent")] * (len(items) - len(some))]


def test_what_a_stage_left_for_another_time_waits_for_those_that_read_it_too(tmp_path: Path):
    found = images(tmp_path / "in", *"abcdefg")
    store, first, other = Store(tmp_path), Frugal(SizeConfig(batch=2)), DoubleStage(SizeConfig(batch=2))
    first.left = 3
    looked, doubled = run(first, found, store, other)
    assert (looked.done, looked.waiting, looked.note) == (3, 4, "the budget is spent")
    assert (doubled.done, doubled.waiting, doubled.failed) == (3, 4, ())
    first.left = 9
    looked, doubled = run(first, found, store, other)
    assert (looked.fresh, looked.done, looked.waiting, looked.note) == (3, 4, 0, "")
    assert (doubled.fresh, doubled.done, doubled.waiting) == (3, 4, 0)
