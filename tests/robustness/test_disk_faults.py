"""A full or failing disk, at every single call: an error reports it, nothing is lost, and the next run resumes."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.cache import parquet
from ita_pipeline.cache.cleanup import plan_cleanup, remove
from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.plan import Plan, PlanOptions, make_plan
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import pull, push
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import verify_segments
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Stage
from tests.support.fakes import DoubleStage, SizeConfig, SizeStage, SizeValue, draw, ita

CALLS = ("write", "fdatasync", "fsync", "replace", "rename", "unlink", "open")


class Faults:
    """Lets the `at`th of the calls that change a disk fail; a write does half of its work first."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.real = {name: getattr(os, name) for name in CALLS}

    @property
    def met(self) -> bool:
        return self.count > self.at

    def wrapped(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            changes = name != "open" or arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
            self.count += bool(changes)
            if changes and self.count == self.at + 1:
                if name == "write":
                    self.real["write"](arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise OSError(28, "No space left on device")
            return self.real[name](*arguments, **named)

        return call

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for name in CALLS:
            setattr(os, name, self.wrapped(name))
        try:
            yield
        finally:
            for name, real in self.real.items():
                setattr(os, name, real)


def pictures(folder: Path) -> list[Path]:
    return [draw(folder / f"{n}.png", "red", (10 + n, 10)) for n in range(4)]


def planned(store: Store, paths: list[Path], **wishes: Any) -> Plan:
    images = [image for image in identify(map(LocalFile, paths), store.manifest) if isinstance(image, ImageRef)]
    return make_plan([SizeStage(), DoubleStage()], images, store, PlanOptions(**wishes))


def extract(root: Path, paths: list[Path], **wishes: Any) -> None:
    store = Store(root)
    LocalEngine(InProcessExecutor()).run(planned(store, paths, **wishes), store, NoProgress())


def known(root: Path) -> dict[str, dict[str, Record]]:
    """Everything that holds, stage by stage."""
    store = Store(root)
    stages: list[Stage[Any]] = [SizeStage(), DoubleStage()]
    keys = make_plan(stages, [], store).keys
    return {stage.name: without_seconds(store.results(stage, keys[stage.name])) for stage in stages}


def without_seconds(records: dict[str, Record]) -> dict[str, Record]:
    return {name: Record(name, record.result, 0.0) for name, record in records.items()}


def every_fault(
    tmp_path: Path, work: Callable[[Path], object], start: Path | None = None
) -> Iterator[tuple[Path, bool]]:
    """Do the work in folder after folder, failing at the first call, the second, …, until none is left to fail.

    Yields the folder, which is a copy of `start` at first, and whether the work ended with the error.
    """
    for at in range(500):
        root = tmp_path / f"fault{at}"
        if start is not None:
            shutil.copytree(start, root)
        faults, failed = Faults(at), False
        with faults.at_work():
            try:
                work(root)
            except OSError as error:
                assert error.errno == 28
                failed = True
        yield root, failed
        if not faults.met:
            assert not failed
            assert at > 0
            return
    raise AssertionError("it never came to an end")


def test_an_extraction_that_fails_at_any_call_is_resumed(tmp_path: Path):
    paths = pictures(tmp_path / "in")
    extract(tmp_path / "calm", paths)
    wanted = known(tmp_path / "calm")
    failures = 0
    for root, failed in every_fault(tmp_path, lambda root: extract(root, paths)):
        before = known(root)
        assert all(before[name].items() <= wanted[name].items() for name in wanted)
        extract(root, paths)
        assert known(root) == wanted
        assert verify_segments(Store(root).list_segments()).damage == ()
        failures += failed
    assert failures >= 8


def test_a_refresh_that_fails_at_any_call_leaves_old_or_new_records(tmp_path: Path):
    paths = pictures(tmp_path / "in")

    def refreshed(root: Path) -> None:
        extract(root, paths, refresh=frozenset({"size"}))

    extract(tmp_path / "calm", paths)
    wanted = known(tmp_path / "calm")
    for root, _ in every_fault(tmp_path, refreshed, tmp_path / "calm"):
        assert known(root) == wanted


def two_keys_of_two_segments(root: Path, paths: list[Path]) -> None:
    extract(root, paths[:2])
    extract(root, paths)
    store = Store(root)
    other = make_plan([SizeStage(SizeConfig(times=2))], [], store).keys["size"]
    with store.open_writer(other) as writer:
        writer.append([Record("a", SizeValue(width=1, height=1), 0.0)])
    os.utime(store.folder(other) / "stage.json", (1, 1))


@pytest.mark.parametrize("work", ["compact", "gc", "pull"])
def test_a_compaction_cleanup_or_pull_that_fails_at_any_call_loses_nothing(tmp_path: Path, work: str):
    paths = pictures(tmp_path / "in")
    two_keys_of_two_segments(tmp_path / "calm", paths)
    wanted = known(tmp_path / "calm")
    shared, stages = SharedCache(str(tmp_path / "shared")), [SizeStage(), DoubleStage()]
    keys = make_plan(stages, [], Store(tmp_path / "calm")).keys
    for key in keys.values():
        push(Store(tmp_path / "calm"), shared, key)
    start = None if work == "pull" else tmp_path / "calm"

    def done(root: Path) -> None:
        store = Store(root)
        if work == "compact":
            list(compact(store))
        elif work == "gc":
            list(remove(store, plan_cleanup(store, keep=1)))
        else:
            for stage in stages:
                pull(store, shared, keys[stage.name], stage)

    for root, failed in every_fault(tmp_path, done, start):
        if work != "pull":
            assert known(root) == wanted
        if failed:
            done(root)
        assert known(root) == wanted
        assert verify_segments(Store(root).list_segments()).damage == ()
        assert not list(root.rglob("*.making")) or work == "compact"


def test_an_export_that_fails_at_any_call_leaves_no_file_or_a_complete_one(tmp_path: Path):
    two_keys_of_two_segments(tmp_path / "store", pictures(tmp_path / "in"))

    def done(root: Path) -> None:
        parquet.export(Store(tmp_path / "store"), root, {"size": SizeStage}, ["size"])

    exports: set[bytes] = set()
    for root, failed in every_fault(tmp_path, done):
        left = list(root.iterdir()) if root.exists() else []
        assert failed or left
        assert [path.name for path in left] in ([], ["size.parquet"])
        exports |= {path.read_bytes() for path in left}
    assert len(exports) == 1


@pytest.mark.parametrize("kilobytes", [0, 4, 40])
def test_a_command_on_a_full_disk_reports_it_and_resumes_later(kilobytes: int):
    """A limit on the size of files is what a full disk is: everything fails that grows beyond it, SQLite too."""
    for number in range(12):
        draw(Path(f"images/{number}.png"), "white", (20 + number, 20))
    command = ["extract", "images", "--preset", "bundled", "--stage", "ocr"]
    limit = kilobytes * 1024

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ran = subprocess.run(
        [str(Path(sys.executable).parent / "ita"), *command],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ran.stderr
    assert ran.returncode in (0, 3), ran.stderr
    if ran.returncode:
        assert re.search("(no space left on device|disk is full or read-only); all finished batches", ran.stderr)
        assert "hint: " in ran.stderr
    assert ita(*command).code == 0
    assert ita("cache", "verify").code == 0
    assert ita("status", "images", *command[2:], "--exit-code").code == 0
