"""The contract of an engine, which both keep, on a real cluster of two cores; and what only Ray has to stand."""

from __future__ import annotations

import contextlib
import json
import os
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
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, draw, draw_sign, ref
from tests.support.odd_stages import Broken, Frugal, Longer, Slow, Touchy, Unready
from tests.support.trained_run import predict_small_parts, read_parts
from tests.support.trained_run import trained as trained  # a fixture
from tests.test_crash import descendants

ray: Any = pytest.importorskip("ray")
PATIENCE = 60.0
MANY = 320  # ten batches of the stage ocr with one core


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster with the two cores of this machine, which this process belongs to."""
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
def over_ray(cluster: str) -> Iterator[Engine]:
    with open_engine(RayPool(actors=2), Limits()) as engine:
        yield engine


def pictures(*names: str) -> list[ImageRef]:
    return [ref(draw(Path(f"in/{name}.png"), size=(number + 1, 5))) for number, name in enumerate(names)]


def posts(images: Sequence[ImageRef | None]) -> list[PostRef]:
    return [PostRef(f"post-{n}", str(n), "x" * n, image) for n, image in enumerate(images)]


def kept(workspace: Path) -> dict[tuple[str, str], Any]:
    """What every line of the cache says, by stage and item, but for the seconds; nothing stands there twice."""
    found: dict[tuple[str, str], Any] = {}
    for path in workspace.glob("cache/*/*/*.jsonl"):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            place = path.parts[-3], record["image"]
            assert place not in found
            found[place] = json.dumps({name: record[name] for name in record if name not in ("seconds", "crc")})
    return found


def told(failed: FailedItem) -> tuple[str, str]:
    return failed.item.label, failed.failure.reason


def counts(outcomes: Sequence[StageOutcome]) -> list[tuple[Any, ...]]:
    return [(o.key.stage, o.fresh, o.done, o.waiting, o.note, sorted(map(told, o.failed))) for o in outcomes]


def planned(store: Store, images: Sequence[ImageRef], *stages: Any, **more: Any) -> Plan:
    return make_plan(stages, images, store, **more)


def by_hand(plan: Plan, store: Store) -> tuple[StageOutcome, ...]:
    """What the local engine makes of a plan."""
    with SubprocessExecutor() as executor:
        return LocalEngine(executor).run(plan, store, NoProgress())


class Told(NoProgress):
    """Adds up what a watcher is told; after a number of items it asks to stop."""

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


def test_pictures_posts_and_all_that_is_wrong_with_them(engine: Engine):
    images = pictures("a", "deadly", "odd", "b")
    stages, some = (Touchy(), DoubleStage(), Longer()), posts([*images, None])
    calm, store, watcher = Store(Path("calm")), Store(Path("new")), Told()
    for each in (calm, store):
        # One picture was seen in an earlier run, so that what reads it finds it in the cache.
        by_hand(planned(each, images[:1], Touchy()), each)
    expected = by_hand(planned(calm, images, *stages, posts=some), calm)
    outcomes = engine.run(planned(store, images, *stages, posts=some), store, watcher)
    size, double, longer = counts(outcomes)
    assert size[:5] == ("size", 1, 1, 0, "")
    assert [label for label, _ in size[5]] == ["in/deadly.png", "in/odd.png"]
    assert "died of it (SIGABRT)" in size[5][0][1]
    assert size[5][1][1] == "ValueError: an odd picture"
    assert double == ("double", 0, 2, 0, "", [(label, f"size: {reason}") for label, reason in size[5]])
    assert longer[:5] == ("longer", 0, 3, 0, "")
    assert [label for label, _ in longer[5]] == ["post 1", "post 2"]
    assert watcher.started == watcher.done == {"size": 3, "double": 4, "longer": 5}
    records = kept(Path("new"))
    assert json.loads(records["longer", "post-3"])["value"] == {"width": 3, "height": 4}
    assert json.loads(records["double", images[0].key])["value"] == {"width": 2, "height": 10}
    assert counts(outcomes) == counts(expected)
    assert records == kept(Path("calm"))
    assert planned(store, images, *stages, posts=some).stale is False


def test_a_budget_holds_for_the_whole_run(engine: Engine):
    images, store = pictures(*"abcdefg"), Store(Path("new"))
    looked, doubled = engine.run(planned(store, images, Frugal(), DoubleStage()), store, NoProgress())
    assert (looked.done, looked.waiting, looked.note) == (3, 4, "the budget is spent")
    assert (doubled.done, doubled.waiting, doubled.failed) == (3, 4, ())


def test_a_stage_that_cannot_go_on_stops_the_run_and_says_why(engine: Engine):
    images, store = pictures(*"abcdef", "last"), Store(Path("new"))
    with pytest.raises(StageError, match="the stage size stopped: the server is gone") as stopped:
        engine.run(planned(store, images, Broken(SizeConfig(batch=1))), store, NoProgress())
    assert stopped.value.hint == "start it"
    assert ("size", images[6].key) not in kept(Path("new"))


def test_a_stage_that_cannot_be_opened_is_told_with_what_mends_it(engine: Engine):
    store = Store(Path("new"))
    with pytest.raises(StageError, match="the weights are gone") as unready:
        engine.run(planned(store, pictures("a"), Unready()), store, NoProgress())
    assert unready.value.hint == "get them"
    assert not kept(Path("new"))


def test_asked_to_stop_it_finishes_the_batch_in_hand_and_goes_on_later(engine: Engine):
    images, store = pictures(*map(str, range(30))), Store(Path("new"))
    with pytest.raises(Interrupted):
        engine.run(planned(store, images, Slow()), store, Told(enough=1))
    first = kept(Path("new"))
    assert 2 <= len(first) < 30
    rest = planned(store, images, SizeStage())
    assert len(rest.stages[0].stale) == 30 - len(first)
    by_hand(rest, store)
    assert len(kept(Path("new"))) == 30


def test_what_is_refreshed_outranks_what_was_there(engine: Engine):
    images, store = pictures("a", "b", "c"), Store(Path("new"))
    by_hand(planned(store, images, SizeStage()), store)
    wishes = PlanOptions(refresh=frozenset({"size"}))
    (again,) = engine.run(planned(store, images, SizeStage(), options=wishes), store, NoProgress())
    assert (again.fresh, again.done) == (0, 3)
    store.index.refresh(store.folder(again.key))
    segments = {entry.segment.name for entry in store.index.find_entries(store.folder(again.key))}
    assert all(".g2." in name or ".g3." in name for name in segments)


def actors_at_work(workspace: Path) -> set[int]:
    """The processes that have written segments, by their names."""
    return {int(path.name.split("-")[1]) for path in workspace.glob("cache/*/*/*.jsonl")}


class Killer(Told):
    """Kills the first two actors that it sees at work."""

    def __init__(self, workspace: Path) -> None:
        super().__init__()
        self.workspace = workspace
        self.killed: list[int] = []

    def advance(self, stage: str, done: int) -> None:
        super().advance(stage, done)
        fresh = actors_at_work(self.workspace) - set(self.killed)
        for pid in sorted(fresh)[: 2 - len(self.killed)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def test_two_actors_killed_midway_cost_no_batch_that_was_finished(over_ray: Engine):
    images, store, killer = pictures(*map(str, range(24))), Store(Path("new")), Killer(Path("new"))
    (outcome,) = over_ray.run(planned(store, images, Slow()), store, killer)
    assert len(killer.killed) == 2
    assert (outcome.done, outcome.failed, outcome.waiting) == (24, (), 0)
    assert killer.done == {"size": 24}
    calm = {image.key: {"width": number + 1, "height": 5} for number, image in enumerate(images)}
    assert {key: json.loads(line)["value"] for (_, key), line in kept(Path("new")).items()} == calm


def extracting(address: str, *more: str) -> list[str]:
    ita = str(Path(sys.executable).parent / "ita")
    where = ["--engine", "ray", "--actors", "2", "--address", address]
    return [ita, "extract", "images", "--preset", "bundled", "--stage", "ocr", *where, *more]


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to find whom to look for")
def test_a_driver_stopped_and_another_killed_leave_nobody_behind_and_the_third_finishes(cluster: str):
    for number in range(MANY):
        draw_sign(Path(f"images/{number}.png"), f"NUMBER {number} OF MANY")
    cache = Path(".ita")
    seen: set[int] = set()
    for how in (signal.SIGTERM, signal.SIGKILL):
        before = actors_at_work(cache)
        driver = subprocess.Popen(extracting(cluster), stderr=subprocess.PIPE, text=True)
        until(lambda before=before: actors_at_work(cache) - before)
        parts = {pid for actor in actors_at_work(cache) - before for pid in descendants(actor, "engines.worker")}
        assert parts
        driver.send_signal(how)
        try:
            _, said = driver.communicate(timeout=PATIENCE)
        finally:
            driver.kill()
        if how is signal.SIGTERM:
            assert driver.returncode == 130
            assert "hint: resume with: ita extract images" in said
        seen |= parts | (actors_at_work(cache) - before)
    until(lambda: all(map(gone, seen)))
    there = len(kept(cache))
    assert 0 < there < MANY
    done = subprocess.run(extracting(cluster, "--json"), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0
    (stage,) = json.loads(done.stdout)["stages"]
    assert (stage["fresh"], stage["done"]) == (there, MANY - there)
    assert done.stderr.splitlines() == ["preset bundled: asked for", "Ray: 2 actors with 1 core each"]


def test_predictions_of_actors_are_those_of_this_machine_and_none_is_made_twice(cluster: str, trained: Path):
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
