"""The plan: an image is stale exactly when something that decides the result has changed, with the reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.plan import Plan, PlanOptions, StagePlan, make_plan
from ita_pipeline.cache.reasons import Cause
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import StageOutcome
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.decode import open_image
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Stage
from stages.ocr.schema import OcrValue
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, ref

COLOURS = ["red", "green", "blue", "white"]


def run(stages: list[Stage[Any]], paths: list[Path], store: Store) -> tuple[StageOutcome, ...]:
    plan = make_plan(stages, [ref(path) for path in paths], store)
    return LocalEngine(InProcessExecutor()).run(plan, store, NoProgress())


def causes(plan: StagePlan) -> list[Cause]:
    return [reason.cause for stale in plan.stale for reason in stale.reasons]


def whole(stages: list[Stage[Any]], paths: list[Path], store: Store, **wishes: Any) -> Plan:
    return make_plan(stages, [ref(path) for path in paths], store, PlanOptions(**wishes))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [draw(tmp_path / "in" / f"{colour}.png", colour) for colour in COLOURS]


def test_everything_is_stale_at_first_and_fresh_the_second_time(tmp_path: Path, paths: list[Path]):
    plan = make_plan([SizeStage()], [ref(path) for path in paths], Store(tmp_path))
    assert [stale.item.path for stale in plan.stages[0].stale] == paths
    assert causes(plan.stages[0]) == [Cause.NEW] * 4
    run([SizeStage()], paths, Store(tmp_path))
    again = SizeStage()
    (outcome,) = run([again], paths, Store(tmp_path))
    assert (outcome.fresh, outcome.done, again.asked) == (4, 0, [])


def test_a_new_image_makes_only_itself_stale(tmp_path: Path, paths: list[Path]):
    run([SizeStage()], paths, Store(tmp_path))
    more = SizeStage()
    run([more], [*paths, draw(tmp_path / "in" / "new.png", "black")], Store(tmp_path))
    assert more.asked == ["new.png"]


def test_renamed_images_stay_fresh_and_copies_are_processed_once(tmp_path: Path, paths: list[Path]):
    run([SizeStage()], paths, Store(tmp_path))
    renamed = paths[0].rename(paths[0].with_name("other.png"))
    copied = paths[1].with_name("copy.png")
    copied.write_bytes(paths[1].read_bytes())
    again = SizeStage()
    run([again], [renamed, copied, *paths[1:]], Store(tmp_path))
    assert again.asked == []
    twice = SizeStage()
    run([twice], [copied, paths[1]], Store(tmp_path / "elsewhere"))
    assert len(twice.asked) == 1


def test_a_changed_setting_is_explained_with_both_values(tmp_path: Path, paths: list[Path]):
    run([SizeStage()], paths, Store(tmp_path))
    plan = make_plan([SizeStage(SizeConfig(times=3))], [ref(path) for path in paths], Store(tmp_path))
    assert plan.stages[0].reasons == {"parameter times 1 → 3": 4}
    assert (
        make_plan([SizeStage(SizeConfig(batch=9))], [ref(p) for p in paths], Store(tmp_path)).stages[0].stale == ()
    )


def test_a_changed_stage_makes_only_its_readers_stale(tmp_path: Path, paths: list[Path]):
    run([DoubleStage(), SizeStage()], paths, Store(tmp_path))
    size, double = SizeStage(SizeConfig(times=2)), DoubleStage()
    outcomes = run([double, size], paths, Store(tmp_path))
    assert [(outcome.key.stage, outcome.done) for outcome in outcomes] == [("size", 4), ("double", 4)]
    size, double = SizeStage(SizeConfig(times=2)), DoubleStage(SizeConfig(times=7))
    outcomes = run([double, size], paths, Store(tmp_path))
    assert [(outcome.key.stage, outcome.done) for outcome in outcomes] == [("size", 0), ("double", 4)]


def test_a_failure_is_retried_only_on_request(tmp_path: Path):
    bad = tmp_path / "in" / "bad.png"
    bad.parent.mkdir()
    bad.write_text("no picture")
    run([SizeStage()], [bad], Store(tmp_path))
    again = SizeStage()
    (outcome,) = run([again], [bad], Store(tmp_path))
    assert again.asked == []
    assert [failed.item.path for failed in outcome.failed] == [bad]
    plan = whole([SizeStage()], [bad], Store(tmp_path), retry=frozenset({FailureKind.PERMANENT}))
    assert causes(plan.stages[0]) == [Cause.RETRY]
    assert not whole([SizeStage()], [bad], Store(tmp_path), retry=frozenset({FailureKind.TRANSIENT})).stale
    changed = whole([SizeStage(SizeConfig(times=2))], [bad], Store(tmp_path))
    assert causes(changed.stages[0]) == [Cause.PARAMETER, Cause.FAILED]


def test_damaged_or_incompatible_records_of_other_keys_do_not_stop_a_run(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
):
    run([SizeStage()], paths, Store(tmp_path))
    (segment,) = tmp_path.glob("cache/size/*/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"width"', b'"wider"', 1))
    monkeypatch.setattr(SizeStage, "version", 2)
    monkeypatch.setattr(SizeStage, "value_type", OcrValue)
    plan = make_plan([SizeStage()], [ref(path) for path in paths], Store(tmp_path))
    assert plan.stages[0].reasons == {"stage version 1 → 2": 3, "new image": 1}


def test_changed_content_is_distinguished_from_a_new_image(tmp_path: Path, paths: list[Path]):
    run([SizeStage()], paths, Store(tmp_path))
    old = ref(paths[0]).key
    draw(paths[0], "black")
    images = [ImageRef(ref(paths[0]).key, LocalFile(paths[0]), old), ref(draw(tmp_path / "in" / "new.png", "pink"))]
    plan = make_plan([SizeStage()], images, Store(tmp_path))
    assert causes(plan.stages[0]) == [Cause.CONTENT, Cause.NEW]


def test_an_upstream_failure_leaves_no_record_and_clears_with_it(tmp_path: Path):
    bad = tmp_path / "in" / "bad.png"
    bad.parent.mkdir()
    bad.write_text("no picture")
    outcomes = run([SizeStage(), DoubleStage()], [bad], Store(tmp_path))
    assert [len(outcome.failed) for outcome in outcomes] == [1, 1]
    assert outcomes[1].failed[0].failure.reason.startswith("size: ")
    plan = whole([SizeStage(), DoubleStage()], [bad], Store(tmp_path), retry=frozenset(FailureKind))
    assert [len(part.stale) for part in plan.stages] == [1, 1]
    again = whole([SizeStage(), DoubleStage()], [bad], Store(tmp_path))
    assert not again.stale
    assert [len(part.failed) for part in again.stages] == [1, 1]


def test_a_refresh_recomputes_the_stage_and_its_readers(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
):
    run([SizeStage(), DoubleStage()], paths, Store(tmp_path))
    plan = whole([SizeStage(), DoubleStage()], paths, Store(tmp_path), refresh=frozenset({"size"}))
    assert [causes(part) for part in plan.stages] == [[Cause.REFRESH] * 4] * 2
    monkeypatch.setattr(SizeStage, "measure", lambda self, item: self.value_type(width=7, height=7))
    LocalEngine(InProcessExecutor()).run(plan, Store(tmp_path), NoProgress())
    records = Store(tmp_path).results(SizeStage(), plan.keys["size"])
    assert {record.result.width for record in records.values()} == {7}
    assert not whole([SizeStage(), DoubleStage()], paths, Store(tmp_path)).stale


def test_a_limit_admits_the_same_first_images_to_all_stages(tmp_path: Path, paths: list[Path]):
    plan = whole([SizeStage(), DoubleStage()], paths, Store(tmp_path), limit=3)
    assert [[s.item.path for s in part.stale] for part in plan.stages] == [paths[:3]] * 2
    assert [part.waiting for part in plan.stages] == [1, 1]
    assert plan.stale
    LocalEngine(InProcessExecutor()).run(plan, Store(tmp_path), NoProgress())
    rest = whole([SizeStage(), DoubleStage()], paths, Store(tmp_path), limit=3)
    assert [[s.item.path for s in part.stale] for part in rest.stages] == [paths[3:]] * 2


def test_a_damaged_record_is_reported_and_nothing_runs(tmp_path: Path, paths: list[Path]):
    run([SizeStage()], paths, Store(tmp_path))
    (segment, *_) = tmp_path.glob("cache/size/*/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"width"', b'"wider"', 1))
    plan = whole([SizeStage()], paths, Store(tmp_path))
    assert causes(plan.stages[0]) == [Cause.CORRUPT]
    assert [(found.segment, found.line) for found in plan.stages[0].damage] == [(segment, 1)]
    with pytest.raises(CorruptCacheError, match="line 1"):
        LocalEngine(InProcessExecutor()).run(plan, Store(tmp_path), NoProgress())


@pytest.fixture
def two_records(tmp_path: Path, paths: list[Path]) -> Path:
    run([SizeStage()], paths[:2], Store(tmp_path))
    (segment,) = tmp_path.glob("cache/size/*/*.jsonl")
    return segment


def changed(segment: Path, content: bytes) -> tuple[StagePlan, dict[str, SizeValue | Failure]]:
    """Overwrite the segment of two pictures; return the plan and the records after that."""
    root = segment.parents[3]
    (root / "index.sqlite").unlink(missing_ok=True)
    segment.write_bytes(content)
    os.utime(segment, (0, 0))  # a segment that changed just now would be waited for
    (part,) = whole([SizeStage()], [root / "in" / f"{name}.png" for name in ("red", "green")], Store(root)).stages
    found = Store(root).results(SizeStage(), part.key)
    return part, {image: record.result for image, record in found.items()}


def test_a_segment_cut_anywhere_gives_correct_records_and_stale_items(two_records: Path):
    content = two_records.read_bytes()
    _, wanted = changed(two_records, content)
    for length in range(len(content)):
        part, found = changed(two_records, content[:length])
        assert found.items() <= wanted.items()
        assert (part.fresh, len(part.stale)) == (len(found), 2 - len(found))
        assert part.damage == ()


def test_no_changed_byte_gives_a_wrong_record(two_records: Path):
    content = two_records.read_bytes()
    _, wanted = changed(two_records, content)
    for position in range(len(content)):
        bent = bytearray(content)
        bent[position] ^= 1 << (position % 8)
        part, found = changed(two_records, bytes(bent))
        assert found.items() <= wanted.items()
        assert len(part.stale) == 2 - len(found) > 0
        # The newline at the very end is the one byte whose loss looks like a crash.
        assert part.damage or position == len(content) - 1


def test_the_forecast_uses_measured_seconds(tmp_path: Path, paths: list[Path]):
    first = whole([SizeStage()], paths, Store(tmp_path)).stages[0]
    assert first.forecast is None
    run([SizeStage()], paths[:2], Store(tmp_path))
    later = whole([SizeStage(SizeConfig(times=2))], paths, Store(tmp_path)).stages[0]
    assert later.seconds is not None
    assert later.forecast == pytest.approx(4 * later.seconds)
    assert whole([SizeStage()], paths[:2], Store(tmp_path)).stages[0].forecast == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_incremental_runs_give_the_results_of_recomputing_everything(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    """Any sequence of added, changed, removed and renamed pictures and settings, against recomputing everything."""
    root = tmp_path_factory.mktemp("model")
    store = root / "store"
    there: dict[str, Path] = {}
    times = 1
    for _ in range(data.draw(st.integers(1, 6))):
        edit = data.draw(st.sampled_from(["add", "change", "remove", "rename", "setting"]))
        if edit == "add" or not there:
            name = data.draw(st.sampled_from("abcdef"))
            width = data.draw(st.integers(1, 4))
            there[name] = draw(root / "in" / f"{name}.png", "red", (width, 2))
        elif edit == "change":
            name = data.draw(st.sampled_from(sorted(there)))
            there[name] = draw(there[name], "blue", (data.draw(st.integers(1, 4)), 3))
        elif edit == "remove":
            there.pop(data.draw(st.sampled_from(sorted(there)))).unlink()
        elif edit == "rename":
            name = data.draw(st.sampled_from(sorted(there)))
            there[name + "x"] = there.pop(name).rename(root / "in" / f"{name}x.png")
        else:
            times = data.draw(st.integers(1, 3))
        paths = sorted(there.values())
        stage = SizeStage(SizeConfig(times=times))
        plan = make_plan([stage], [ref(path) for path in paths], Store(store))
        run([stage], paths, Store(store))
        assert stage.asked == [stale.item.path.name for stale in plan.stages[0].stale]
        known = Store(store).results(stage, plan.stages[0].key)
        for path in paths:
            picture = open_image(ref(path))
            result = known[ref(path).key].result
            assert (result.width, result.height) == (picture.width * times, picture.height * times)
