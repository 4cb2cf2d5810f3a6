"""The contract of an engine, for both engines on a real cluster of two cores, and faults that only Ray has."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.api.predict import predict_parts
from ita_pipeline.cache.plan import FailedItem, Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine, Interrupted, StageOutcome
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.ray.cluster import RayPool, connect
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.runs.bulk_predict import PredictionCounts
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import StageError
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, draw, draw_images, draw_sign
from tests.support.odd_stages import Broken, Frugal, Longer, Slow, Touchy, Unready
from tests.support.processes import find_descendants
from tests.support.trained_run import predict_small_parts, read_parts
from tests.support.trained_run import trained as trained  # a fixture

ray: Any = pytest.importorskip("ray")
TIMEOUT = 60.0
IMAGES = 320  # ten batches of the stage ocr with one core


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster with the two cores of this machine, to which this process is connected."""
    with connect(RayPool(address="local")) as nodes:
        assert nodes
        yield ray.get_runtime_context().gcs_address


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    pool = None
    if request.param == "ray":
        request.getfixturevalue("cluster")
        pool = RayPool(actors=2)
    with open_engine(pool, Limits()) as engine:
        yield engine


@pytest.fixture
def ray_engine(cluster: str) -> Iterator[Engine]:
    with open_engine(RayPool(actors=2), Limits()) as engine:
        yield engine


def make_posts(images: Sequence[ImageRef | None]) -> list[PostRef]:
    return [PostRef(f"post-{n}", str(n), "x" * n, image) for n, image in enumerate(images)]


def read_records(workspace: Path) -> dict[tuple[str, str], Any]:
    """The records of the cache without their seconds, by stage and item. No record may be there twice."""
    records: dict[tuple[str, str], Any] = {}
    for path in workspace.glob("cache/*/*/*.jsonl"):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            place = path.parts[-3], record["image"]
            assert place not in records
            records[place] = json.dumps({name: record[name] for name in record if name not in ("seconds", "crc")})
    return records


def describe(failed: FailedItem) -> tuple[str, str]:
    return failed.item.label, failed.failure.reason


def counts(outcomes: Sequence[StageOutcome]) -> list[tuple[Any, ...]]:
    return [(o.key.stage, o.fresh, o.done, o.waiting, o.note, sorted(map(describe, o.failed))) for o in outcomes]


def plan_for(store: Store, images: Sequence[ImageRef], *stages: Any, **more: Any) -> Plan:
    return make_plan(stages, images, store, **more)


def run_locally(plan: Plan, store: Store) -> tuple[StageOutcome, ...]:
    """Run a plan by the local engine."""
    with SubprocessExecutor() as executor:
        return LocalEngine(executor).run(plan, store, NoProgress())


class CountingProgress(NoProgress):
    """Counts the items; after a number of them it asks to stop."""

    def __init__(self, enough: int | None = None) -> None:
        self.started: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.enough = enough

    @property
    def stop_requested(self) -> bool:
        return self.enough is not None and sum(self.done.values()) >= self.enough

    def start(self, stage: str, total: int) -> None:
        self.started[stage] = total

    def advance(self, stage: str, done: int) -> None:
        self.done[stage] = self.done.get(stage, 0) + done


def test_images_and_posts_with_failures_give_the_records_of_the_local_engine(engine: Engine):
    images = draw_images("a", "deadly", "odd", "b")
    stages, some = (Touchy(), DoubleStage(), Longer()), make_posts([*images, None])
    local, store, progress = Store(Path("local")), Store(Path("new")), CountingProgress()
    for each in (local, store):
        # One image is there from an earlier run, so the stage that reads it finds its record in the cache.
        run_locally(plan_for(each, images[:1], Touchy()), each)
    expected = run_locally(plan_for(local, images, *stages, posts=some), local)
    outcomes = engine.run(plan_for(store, images, *stages, posts=some), store, progress)
    size, double, longer = counts(outcomes)
    assert size[:5] == ("size", 1, 1, 0, "")
    assert [label for label, _ in size[5]] == ["in/deadly.png", "in/odd.png"]
    assert "died of it (SIGABRT)" in size[5][0][1]
    assert size[5][1][1] == "ValueError: an odd picture"
    assert double == ("double", 0, 2, 0, "", [(label, f"size: {reason}") for label, reason in size[5]])
    assert longer[:5] == ("longer", 0, 3, 0, "")
    assert [label for label, _ in longer[5]] == ["post 1", "post 2"]
    assert progress.started == progress.done == {"size": 3, "double": 4, "longer": 5}
    records = read_records(Path("new"))
    assert json.loads(records["longer", "post-3"])["value"] == {"width": 3, "height": 4}
    assert json.loads(records["double", images[0].key])["value"] == {"width": 2, "height": 10}
    assert counts(outcomes) == counts(expected)
    assert records == read_records(Path("local"))
    assert plan_for(store, images, *stages, posts=some).stale is False


def test_a_budget_holds_for_the_whole_run(engine: Engine):
    images, store = draw_images(*"abcdefg"), Store(Path("new"))
    size, double = engine.run(plan_for(store, images, Frugal(), DoubleStage()), store, NoProgress())
    assert (size.done, size.waiting, size.note) == (3, 4, "the budget is spent")
    assert (double.done, double.waiting, double.failed) == (3, 4, ())


def test_a_broken_stage_stops_the_run_with_its_reason_and_hint(engine: Engine):
    images, store = draw_images(*"abcdef", "last"), Store(Path("new"))
    with pytest.raises(StageError, match="the stage size stopped: the server is gone") as stopped:
        engine.run(plan_for(store, images, Broken(SizeConfig(batch=1))), store, NoProgress())
    assert stopped.value.hint == "start it"
    assert ("size", images[6].key) not in read_records(Path("new"))


def test_a_stage_that_cannot_be_opened_stops_the_run_with_its_hint(engine: Engine):
    store = Store(Path("new"))
    with pytest.raises(StageError, match="the weights are gone") as unready:
        engine.run(plan_for(store, draw_images("a"), Unready()), store, NoProgress())
    assert unready.value.hint == "get them"
    assert not read_records(Path("new"))


def test_a_stop_request_finishes_the_current_batches_and_the_next_run_resumes(engine: Engine):
    images, store = draw_images(*map(str, range(30))), Store(Path("new"))
    with pytest.raises(Interrupted):
        engine.run(plan_for(store, images, Slow()), store, CountingProgress(enough=1))
    first = read_records(Path("new"))
    assert 2 <= len(first) < 30
    rest = plan_for(store, images, SizeStage())
    assert len(rest.stages[0].stale) == 30 - len(first)
    run_locally(rest, store)
    assert len(read_records(Path("new"))) == 30


def test_refreshed_records_replace_earlier_ones(engine: Engine):
    images, store = draw_images("a", "b", "c"), Store(Path("new"))
    run_locally(plan_for(store, images, SizeStage()), store)
    options = PlanOptions(refresh=frozenset({"size"}))
    (again,) = engine.run(plan_for(store, images, SizeStage(), options=options), store, NoProgress())
    assert (again.fresh, again.done) == (0, 3)
    store.index.refresh(store.folder(again.key))
    segments = {entry.segment.name for entry in store.index.find_entries(store.folder(again.key))}
    assert all(".g2." in name or ".g3." in name for name in segments)


def find_actors(workspace: Path) -> set[int]:
    """The processes that have written segments, according to the names of these."""
    return {int(path.name.split("-")[1]) for path in workspace.glob("cache/*/*/*.jsonl")}


class Killer(CountingProgress):
    """Kills the first two actors that have written a segment."""

    def __init__(self, workspace: Path) -> None:
        super().__init__()
        self.workspace = workspace
        self.killed: list[int] = []

    def advance(self, stage: str, done: int) -> None:
        super().advance(stage, done)
        fresh = find_actors(self.workspace) - set(self.killed)
        for pid in sorted(fresh)[: 2 - len(self.killed)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def test_two_killed_actors_cost_no_finished_batch(ray_engine: Engine):
    images, store, killer = draw_images(*map(str, range(24))), Store(Path("new")), Killer(Path("new"))
    (outcome,) = ray_engine.run(plan_for(store, images, Slow()), store, killer)
    assert len(killer.killed) == 2
    assert (outcome.done, outcome.failed, outcome.waiting) == (24, (), 0)
    assert killer.done == {"size": 24}
    expected = {image.key: {"width": number + 1, "height": 5} for number, image in enumerate(images)}
    assert {key: json.loads(line)["value"] for (_, key), line in read_records(Path("new")).items()} == expected


def extract_command(address: str, *more: str) -> list[str]:
    ita = str(Path(sys.executable).parent / "ita")
    where = ["--engine", "ray", "--actors", "2", "--address", address]
    return [ita, "extract", "images", "--preset", "bundled", "--stage", "ocr", *where, *more]


def wait_until(met: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to find processes")
def test_a_stopped_and_a_killed_command_leave_no_process_and_the_third_one_finishes(cluster: str):
    for number in range(IMAGES):
        draw_sign(Path(f"images/{number}.png"), f"NUMBER {number} OF MANY")
    cache = Path(".ita")
    seen: set[int] = set()
    for how in (signal.SIGTERM, signal.SIGKILL):
        before = find_actors(cache)
        driver = subprocess.Popen(extract_command(cluster), stderr=subprocess.PIPE, text=True)
        wait_until(lambda before=before: find_actors(cache) - before)
        parts = {pid for actor in find_actors(cache) - before for pid in find_descendants(actor, "engines.worker")}
        assert parts
        driver.send_signal(how)
        try:
            _, said = driver.communicate(timeout=TIMEOUT)
        finally:
            driver.kill()
        if how is signal.SIGTERM:
            assert driver.returncode == 130
            assert "hint: resume with: ita extract images" in said
        seen |= parts | (find_actors(cache) - before)
    wait_until(lambda: all(map(has_ended, seen)))
    done = len(read_records(cache))
    assert 0 < done < IMAGES
    last = subprocess.run(
        extract_command(cluster, "--json"), capture_output=True, text=True, timeout=120, check=False
    )
    assert last.returncode == 0
    (stage,) = json.loads(last.stdout)["stages"]
    assert (stage["fresh"], stage["done"]) == (done, IMAGES - done)
    # A slow machine also prints its progress.
    lines = [line for line in last.stderr.splitlines() if not re.match(r"ocr: \d+ of \d+, ", line)]
    assert lines == ["using preset `bundled` (from --preset)", "Ray: 2 actors with 1 core each"]


def test_actors_predict_as_this_machine_does_and_each_post_once(cluster: str, trained: Path):
    some = [
        Post.from_text(f"hi kim {n}", draw(Path("in/a.png")) if n % 5 == 1 else None, str(n)) for n in range(10)
    ]
    pool = RayPool(actors=2)
    counts = predict_small_parts(trained, some[:7], 4, pool, Path("there"))
    assert counts == PredictionCounts(now=7, before=0, failed=0)
    counts = predict_small_parts(trained, some, 4, pool, Path("there"))
    assert counts == PredictionCounts(now=3, before=7, failed=0)
    predict_parts(trained, some, "calm")
    by_number = sorted(read_parts(Path("out")), key=lambda row: row["number"])
    assert [without_check(row) for row in by_number] == [without_check(row) for row in read_parts(Path("calm"))]


def without_check(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in row if name != "crc"}
