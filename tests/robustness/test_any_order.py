"""Changes of pictures, stages and the cache in any order, compared with a simple model.

The model remembers the result of each picture under each setting, and nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ita_pipeline.cache.cleanup import plan_cleanup, remove
from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.keys import stage_keys
from ita_pipeline.cache.plan import Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import verify_segments
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor, Job
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Item, Stage, Value
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, ref

NAMES = st.sampled_from("abcde")
SMALL = st.integers(1, 3)
Size = tuple[int, int]
Setting = tuple[Any, ...]


class Killed(BaseException):
    """Ends a run as SIGKILL does: without cleanup."""


class KillableExecutor(InProcessExecutor):
    """Runs a number of batches until it is killed, and records the jobs."""

    def __init__(self, batches: int | None) -> None:
        super().__init__()
        self.left = batches
        self.asked: list[tuple[str, str]] = []

    def run_jobs(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Value | Failure]:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.asked += [(stage.name, job.item.key) for job in jobs]
        return super().run_jobs(stage, jobs)


class Moody:
    """A part of the value that is in no key, so that only a recomputation shows it."""

    mood = 0


def size_stage(version: int, times: int) -> Stage[Any]:
    def measure(self: SizeStage, item: Item) -> SizeValue:
        assert item.decode is not None
        picture = item.decode()
        return SizeValue(width=picture.width * times + 100 * version, height=picture.height + 100 * Moody.mood)

    return type("Size", (SizeStage,), {"version": version, "measure": measure})(SizeConfig(times=times))


def double_stage(version: int) -> Stage[Any]:
    def measure(self: DoubleStage, item: Item) -> SizeValue:
        size = item.upstream["size"]
        assert isinstance(size, SizeValue)
        return SizeValue(width=2 * size.width + version, height=2 * size.height)

    return type("Double", (DoubleStage,), {"version": version, "measure": measure})(SizeConfig())


class AnythingHappens(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="model-"))
        # Each picture by its name: its size, or nothing where the file is no picture.
        self.there: dict[str, Size | None] = {}
        self.version, self.times, self.below = 1, 1, 1
        # By setting and image key: width and height, or nothing for a failure.
        self.answered: dict[tuple[Setting, str], Size | None] = {}
        Moody.mood = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @property
    def store(self) -> Store:
        return Store(self.root / ".ita", settled_seconds=0.02)

    @property
    def size(self) -> Setting:
        return ("size", self.version, self.times)

    @property
    def double(self) -> Setting:
        return ("double", self.below, *self.size)

    def stages_of(self, setting: Setting) -> list[Stage[Any]]:
        if setting[0] == "size":
            return [size_stage(*setting[1:])]
        return [double_stage(setting[1]), size_stage(*setting[3:])]

    def path(self, name: str) -> Path:
        return self.root / "in" / f"{name}.png"

    def key(self, name: str) -> str:
        return ref(self.path(name)).key

    @initialize()
    def some_pictures(self) -> None:
        for number, name in enumerate("abcd"):
            self.add_or_change(name, "red", number + 1)

    @rule(name=NAMES, colour=st.sampled_from(["red", "blue"]), width=SMALL)
    def add_or_change(self, name: str, colour: str, width: int) -> None:
        draw(self.path(name), colour, (width, 2))
        self.there[name] = (width, 2)

    @rule(name=NAMES, text=st.sampled_from(["no picture", "nor this"]))
    def spoil(self, name: str, text: str) -> None:
        self.path(name).write_text(text)
        self.there[name] = None

    @precondition(lambda self: self.there)
    @rule(data=st.data(), to=NAMES, copied=st.booleans())
    def rename_or_copy(self, data: st.DataObject, to: str, copied: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.there)))
        if name != to:
            shutil.copyfile(self.path(name), self.path(to))
            self.there[to] = self.there[name]
            if not copied:
                self.path(name).unlink()
                del self.there[name]

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.there)))
        self.path(name).unlink()
        del self.there[name]

    @rule(version=SMALL, times=SMALL, below=SMALL)
    def change_stages(self, version: int, times: int, below: int) -> None:
        self.version, self.times, self.below = version, times, below

    @rule()
    def lose_the_index(self) -> None:
        (self.root / ".ita" / "index.sqlite").unlink(missing_ok=True)

    @rule()
    def bring_segments_together(self) -> None:
        list(compact(self.store))

    @rule()
    def throw_old_keys_away(self) -> None:
        gone = {holding.key.hexdigest for holding in remove(self.store, plan_cleanup(self.store, keep=2))}
        settings_gone = {
            setting
            for setting in {setting for setting, _ in self.answered}
            if stage_keys(self.stages_of(setting))[setting[0]].hexdigest in gone
        }
        self.answered = {at: found for at, found in self.answered.items() if at[0] not in settings_gone}

    def plan(self, store: Store, wishes: PlanOptions | None = None) -> Plan:
        paths = [self.path(name) for name in sorted(self.there)]
        images = [image for image in identify(map(LocalFile, paths), store.manifest) if isinstance(image, ImageRef)]
        return make_plan(self.stages_of(self.double), images, store, wishes)

    def wanted(self, retry: bool, refresh: bool) -> set[tuple[str, str]]:
        """The stages and images to process, from the model alone."""
        todo: set[tuple[str, str]] = set()
        for image in {self.key(name) for name in self.there}:
            known = (self.size, image) in self.answered
            failed = known and self.answered[self.size, image] is None
            if not known or refresh or (retry and failed):
                todo.add(("size", image))
            # Below a failure nothing is to be done, unless that is tried again.
            if refresh or ((self.double, image) not in self.answered and (retry or not failed)):
                todo.add(("double", image))
        return todo

    @rule(
        retry=st.booleans(),
        refresh=st.sampled_from([False, False, True]),
        kill=st.none() | st.integers(0, 3),
        torn=st.integers(1, 60),
    )
    def run(self, retry: bool, refresh: bool, kill: int | None, torn: int) -> None:
        Moody.mood += refresh
        store, executor = self.store, KillableExecutor(kill)
        kinds = frozenset(FailureKind) if retry else frozenset[FailureKind]()
        plan = self.plan(store, PlanOptions(retry=kinds, refresh=frozenset({"size"} if refresh else ())))
        planned = {(part.stage.name, stale.item.key) for part in plan.stages for stale in part.stale}
        assert planned == self.wanted(retry, refresh)
        for part in plan.stages:
            images = {self.key(name) for name in self.there}
            assert part.fresh + len(part.stale) + len(part.failed) == len(images)
        try:
            LocalEngine(executor).run(plan, store, NoProgress())
        except Killed:
            self.remember(executor)
            self.tear(store, plan, executor, torn)
        else:
            self.remember(executor)
            below_a_failure = {
                ("double", image)
                for (setting, image), found in self.answered.items()
                if setting == self.size and found is None
            }
            assert set(executor.asked) == planned - below_a_failure

    def remember(self, executor: KillableExecutor) -> None:
        sizes = {self.key(name): size for name, size in self.there.items()}
        for stage, image in executor.asked:
            if stage == "size":
                size = sizes[image]
                value = size and (size[0] * self.times + 100 * self.version, size[1] + 100 * Moody.mood)
                self.answered[self.size, image] = value
            else:
                above = self.answered[self.size, image]
                assert above is not None
                self.answered[self.double, image] = (2 * above[0] + self.below, 2 * above[1])

    def tear(self, store: Store, plan: Plan, executor: KillableExecutor, torn: int) -> None:
        """Append the beginning of a line to a segment, as a process that dies while it writes does."""
        if executor.asked:
            folder = store.folder(plan.keys[executor.asked[-1][0]])
            last = max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
            line = last.read_bytes().splitlines()[0]
            with last.open("ab") as opened:
                opened.write(line[: min(torn, len(line))])

    @invariant()
    def every_record_is_what_was_answered_and_none_is_lost(self) -> None:
        store = self.store
        for part in self.plan(store).stages:
            setting = self.size if part.stage.name == "size" else self.double
            known = store.results(part.stage, part.key)
            for image in {self.key(name) for name in self.there}:
                assert (image in known) == ((setting, image) in self.answered)
                if image in known:
                    result = known[image].result
                    found = (result.width, result.height) if isinstance(result, SizeValue) else None
                    assert found == self.answered[setting, image]
        assert verify_segments(store.list_segments()).damage == ()


TestAnythingHappens = AnythingHappens.TestCase
TestAnythingHappens.settings = settings(max_examples=40, stateful_step_count=16, deadline=None)
