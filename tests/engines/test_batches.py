"""Batches: which items a stage gets, depending on the stages that it reads, and what becomes of its results."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.batches import check_stop, find_group_size, prepare_batch, upstream_keys
from ita_pipeline.engines.executor import InProcessExecutor, StageResults
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.refs import PostRef
from stages.base import Failure, FailureKind, Postponed, StageError
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw_images
from tests.support.odd_stages import Allergic, Longer

VALUE = SizeValue(width=1, height=5)


def test_a_stage_fails_on_the_image_on_which_an_upstream_stage_failed(tmp_path: Path):
    store, double = Store(tmp_path), DoubleStage()
    plan = make_plan([Allergic(SizeConfig(batch=1)), double], draw_images("a", "bad"), store)
    _, outcome = LocalEngine(InProcessExecutor()).run(plan, store, NoProgress())
    (failed,) = outcome.failed
    assert failed.failure.reason.startswith("size: ")
    assert double.asked == ["a.png"]


def test_an_image_without_an_upstream_result_is_left_out_of_the_batch():
    done, failed, waiting = draw_images("a", "b", "c")
    failure = Failure(kind=FailureKind.TRANSIENT, reason="no server")
    upstream = [(SizeStage(), {done.key: VALUE, failed.key: failure})]
    batch = prepare_batch(DoubleStage(), [done, failed, waiting], upstream)
    assert [(job.item, job.upstream) for job in batch.task.jobs] == [(done, {"size": VALUE})]
    assert [(each.item, each.failure.reason) for each in batch.inherited] == [(failed, "size: no server")]


def test_a_post_gets_the_upstream_value_of_its_image_and_none_without_an_image():
    (image,) = draw_images("a")
    posts = [PostRef("post-0", "0", "hi", image), PostRef("post-1", "1", "hi", None)]
    assert upstream_keys(SizeStage(), posts) == {image.key}
    assert upstream_keys(Longer(), posts) == {"post-0", "post-1"}
    batch = prepare_batch(Longer(), posts, [(SizeStage(), {image.key: VALUE})])
    assert [job.upstream for job in batch.task.jobs] == [{"size": VALUE}, {}]


def test_a_postponed_image_gets_no_record_and_a_broken_stage_is_the_reason_to_stop():
    batch = prepare_batch(SizeStage(), draw_images("a", "b", "c"), [])
    budget, broken = Postponed(reason="the budget is spent"), Postponed(reason="the server is gone", broken=True)
    outcome = batch.outcome(StageResults([VALUE, budget, broken], seconds=6.0))
    assert [(record.result, record.seconds) for record in outcome.records] == [(VALUE, 2.0)]
    assert outcome.lines.count(b"\n") == 1
    assert outcome.stop == broken
    check_stop("size", budget)
    with pytest.raises(StageError, match="the stage size stopped: the server is gone"):
        check_stop("size", outcome.stop)


def test_groups_are_as_large_as_the_largest_batch_of_a_stage_that_reads_no_other():
    stages = [SizeStage(SizeConfig(batch=2)), SizeStage(SizeConfig(batch=4)), DoubleStage(SizeConfig(batch=8))]
    assert find_group_size(stages) == 4
    assert find_group_size(stages[2:]) == 8
