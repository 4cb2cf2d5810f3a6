"""Tests of the status of stages, and of the explanation of one image."""

from __future__ import annotations

import json
from pathlib import Path

from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.items import ExtractionPlan, execute_plan, identify_images, plan_images
from ita_pipeline.extraction.status import ItemStatus, explain, status_of
from ita_pipeline.sources.local import LocalFile
from tests.support.fakes import SizeConfig, SizeStage, draw


def plan_file(path: Path, store: Store, times: int = 1) -> ExtractionPlan:
    return plan_images(identify_images([LocalFile(path)], store), [SizeStage(SizeConfig(times=times))], store)


def run(plan: ExtractionPlan, store: Store) -> None:
    execute_plan(plan, store, LocalEngine(InProcessExecutor()), NoProgress())


def test_an_image_is_stale_until_the_stage_has_run(tmp_path: Path):
    store, image = Store(tmp_path / "store"), draw(Path("a.png"))
    plan = plan_file(image, store)
    (row,) = status_of(plan.plan).stages
    assert (row.stage, row.fresh, row.stale, row.failed) == ("size", 0, 1, 0)
    assert status_of(plan.plan).stale
    run(plan, store)
    (row,) = status_of(plan_file(image, store).plan).stages
    assert (row.fresh, row.stale, dict(row.reasons)) == (1, 0, {})
    assert status_of(plan_file(image, store).plan).clean


def test_failures_are_counted_by_kind(tmp_path: Path):
    store = Store(tmp_path / "store")
    Path("bad.png").write_bytes(b"no image")
    run(plan_file(Path("bad.png"), store), store)
    status = status_of(plan_file(Path("bad.png"), store).plan)
    (row,) = status.stages
    assert (row.failed, dict(row.failures)) == (1, {"permanent": 1})
    assert not status.clean
    assert json.dumps(status.to_json())


def test_an_explanation_shows_the_current_record_or_an_older_one(tmp_path: Path):
    store, image = Store(tmp_path / "store"), draw(Path("a.png"))
    run(plan_file(image, store), store)
    (current,) = explain(plan_file(image, store), store).stages
    assert (current.status, current.is_outdated) == (ItemStatus.FRESH, False)
    assert current.record is not None
    assert current.record.content["value"] == {"width": 64, "height": 48}
    (older,) = explain(plan_file(image, store, times=2), store).stages
    assert (older.status, older.is_outdated, older.record) == (ItemStatus.STALE, True, current.record)
    assert any("times" in reason for reason in older.reasons)
