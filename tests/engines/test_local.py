"""The local engine: it stores batches one by one, and a failure of one image affects neither others nor the run."""

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
from stages.base import FailureKind, Item, Postponed, Result
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, draw_images
from tests.support.odd_stages import Allergic


def run(stage: Any, images: list[ImageRef], store: Store, *more: Any) -> tuple[StageOutcome, ...]:
    return LocalEngine(InProcessExecutor()).run(make_plan([stage, *more], images, store), store, NoProgress())


def test_an_interrupt_keeps_the_batches_that_were_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Allergic, "error", KeyboardInterrupt)
    images = draw_images("a", "b", "c", "d", "bad", "e")
    with pytest.raises(KeyboardInterrupt):
        run(Allergic(), images, Store(tmp_path))
    rest = SizeStage()
    run(rest, images, Store(tmp_path))
    assert rest.asked == ["bad.png", "e.png"]


def test_a_stage_is_opened_only_if_it_has_stale_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    monkeypatch.setattr(SizeStage, "open", lambda self: opened.append(self.name))
    images = draw_images("a")
    run(SizeStage(), images, Store(tmp_path))
    run(SizeStage(), images, Store(tmp_path))
    assert opened == ["size"]


def test_an_image_that_changes_during_the_run_fails(tmp_path: Path):
    images = draw_images("a")
    draw(Path("in/a.png"), "blue", (9, 9))
    (outcome,) = run(SizeStage(), images, Store(tmp_path))
    assert outcome.failed[0].failure.kind == FailureKind.TRANSIENT
    assert "changed" in outcome.failed[0].failure.reason


def test_values_reach_the_store(tmp_path: Path):
    images = draw_images("a")
    store = Store(tmp_path)
    (outcome,) = run(SizeStage(), images, store)
    record = Store(tmp_path).results(SizeStage(), outcome.key)[images[0].key]
    assert record.result == SizeValue(width=1, height=5)


def test_a_stop_request_takes_effect_after_the_current_batch(tmp_path: Path):
    class Stopping(NoProgress):
        stop_requested = True

    images = draw_images("a", "b", "c")
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(InProcessExecutor()).run(make_plan([SizeStage()], images, store), store, Stopping())
    rest = SizeStage()
    run(rest, images, Store(tmp_path))
    assert rest.asked == ["c.png"]


class Frugal(SizeStage):
    """Processes `left` images and postpones the others."""

    left = 0

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        some = super().run(items[: self.left])
        self.left -= len(some)
        return [*some, *[Postponed(reason="the budget is spent")] * (len(items) - len(some))]


def test_postponed_images_wait_for_downstream_stages_too(tmp_path: Path):
    images = draw_images(*"abcdefg")
    store, first, other = Store(tmp_path), Frugal(SizeConfig(batch=2)), DoubleStage(SizeConfig(batch=2))
    first.left = 3
    size, double = run(first, images, store, other)
    assert (size.done, size.waiting, size.note) == (3, 4, "the budget is spent")
    assert (double.done, double.waiting, double.failed) == (3, 4, ())
    first.left = 9
    size, double = run(first, images, store, other)
    assert (size.fresh, size.done, size.waiting, size.note) == (3, 4, 0, "")
    assert (double.fresh, double.done, double.waiting) == (3, 4, 0)
