"""Failures of single items: the item that makes a stage raise fails alone, unless the stage always raises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.failures import plain_image, run_stage, to_failure
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Item, StageError, Value
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, draw_images
from tests.support.odd_stages import Allergic


def run(stage: Any, images: list[ImageRef], store: Store) -> StageOutcome:
    (outcome,) = LocalEngine(InProcessExecutor()).run(make_plan([stage], images, store), store, NoProgress())
    return outcome


def test_the_image_that_makes_a_stage_raise_fails_alone(tmp_path: Path):
    outcome = run(Allergic(SizeConfig(batch=5)), draw_images("a", "b", "bad", "c", "d"), Store(tmp_path))
    assert outcome.done == 4
    (failed,) = outcome.failed
    assert Path(failed.item.label).name == "bad.png"
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
def test_a_library_without_memory_is_a_lack_of_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, kind: FailureKind
):
    monkeypatch.setattr(Allergic, "says", says)
    outcome = run(Allergic(), draw_images("a", "bad"), Store(tmp_path))
    assert [failed.failure.kind for failed in outcome.failed] == [kind]


class Hopeless(SizeStage):
    """Raises at every image."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        raise RuntimeError("no such layer")


def test_a_stage_that_fails_on_every_image_is_broken_and_leaves_no_records(tmp_path: Path):
    images = draw_images("bad1", "bad2", "bad3")
    with pytest.raises(StageError, match="fails on any picture"):
        run(Hopeless(SizeConfig(batch=3)), images, Store(tmp_path))
    assert not list(tmp_path.rglob("*.jsonl"))


def test_failures_are_recorded_if_every_image_of_a_batch_fails(tmp_path: Path):
    assert len(run(Allergic(), draw_images("bad1", "bad2"), Store(tmp_path)).failed) == 2


def test_a_stage_that_reads_another_is_not_tried_on_a_plain_image():
    class Reading(Hopeless):
        reads = ("size",)

    (result,) = run_stage(Reading(), [Item("key", "a.png", None)])
    assert result == Failure(kind=FailureKind.PERMANENT, reason="RuntimeError: no such layer")


def test_a_failure_has_one_line_and_the_start_of_the_message():
    failure = to_failure(OSError("the disk\n  is " + "very " * 100 + "slow"))
    assert failure.kind is FailureKind.TRANSIENT
    assert failure.reason.startswith("OSError: the disk is very very")
    assert len(failure.reason) == len("OSError: ") + 200


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda items: None, "TypeError: 'NoneType' object is not iterable"),
        (lambda items: [SizeValue(width=1, height=1)] * (len(items) + 1), "returned 2 results for 1 items"),
        (lambda items: [{"width": 1}] * len(items), "returned a dict instead of a SizeValue"),
        (lambda items: sys.exit(4), "SystemExit: 4"),
    ],
)
def test_a_stage_that_returns_something_else_is_broken(returned: Callable[[Sequence[Item]], Any], message: str):
    class Odd(SizeStage):
        def run(self, items: Sequence[Item]) -> Any:
            return returned(items)

    with pytest.raises(StageError, match=f"the stage size fails on any picture: .*{message}"):
        run_stage(Odd(), [Item(name, name, plain_image) for name in ("a", "b")])
