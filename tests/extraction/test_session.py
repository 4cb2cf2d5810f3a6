"""Tests of runs with a shared cache: records are exchanged, and an error of the shared cache loses no work."""

from __future__ import annotations

import json
import logging
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.records import MAX_SEGMENT_BYTES
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.session import MAX_SEGMENT_SECONDS, CacheSession
from tests.support.fakes import DoubleStage, SizeStage, draw, ita, ita_here, ref
from tests.support.messages import logged_messages
from tests.support.s3_server import URL, Fault, Server, objects
from tests.support.s3_server import one_server as one_server  # a fixture
from tests.support.s3_server import server as server  # a fixture
from tests.support.shared_cache import OCR, count_done, draw_signs, extract

NOWHERE = "http://127.0.0.1:9"


def values(workspace: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in Path(workspace).glob(".ita/cache/ocr/*/*.jsonl"):
        for record in map(json.loads, path.read_text().splitlines()):
            assert found.setdefault(record["image"], record["value"]) == record["value"]
    return found


def test_records_of_one_machine_are_reused_by_another(server: Server):
    draw_signs(3)
    first = extract("a")
    assert first.code == 0, first.err
    assert f"uploaded 1 segment, 0.00 MB, to {URL}" in first.err
    second = extract("b", "--json")
    assert (second.code, count_done(second)) == (0, 0), second.err
    assert f"ocr: downloaded 1 segment, 0.00 MB, from {URL}" in second.err
    assert values("a") == values("b")
    gets = server.asked("GET", ".jsonl")
    assert extract("b").code == 0
    assert server.asked("GET", ".jsonl") == gets


def test_a_run_without_new_records_uploads_nothing(server: Server):
    draw_signs(1)
    assert extract("a", "--dry-run").code == 0
    assert objects() == {}
    assert extract("a").code == 0
    puts = server.asked("PUT", "")
    assert extract("a").code == 0
    assert server.asked("PUT", "") == puts


def start(workspace: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "ita"), "extract", "images", *OCR, "--workspace", workspace]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, "--shared", URL], stdout=quiet, stderr=quiet)


def test_two_killed_machines_resume_with_the_records_of_an_uninterrupted_run(server: Server):
    draw_signs(12)
    assert ita_here("extract", "images", *OCR, "--workspace", "calm").code == 0
    chance = random.Random(3)
    running = [start("a"), start("b")]
    time.sleep(chance.uniform(2.0, 4.0))
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [process.wait() for process in [start("a"), start("b")]] == [0, 0]
    assert ita_here("cache", "pull", URL, "--workspace", "c").code == 0
    assert values("c") == values("calm")
    assert count_done(extract("a", "--json")) == 0
    assert ita_here("cache", "verify", URL).code == 0


def test_without_a_server_work_continues_and_is_uploaded_by_the_next_run(server: Server):
    draw_signs(2)
    command = ["extract", "images", *OCR, "--workspace", "a", "--shared", URL]
    answer = ita(*command, AWS_ENDPOINT_URL=NOWHERE)
    assert answer.code == 1, answer.err
    assert f"the shared cache {URL} does not respond" in answer.err
    assert "not all records were uploaded" in answer.err
    assert "Traceback" not in answer.err
    assert len(values("a")) == 2
    again = extract("a", "--json")
    assert (again.code, count_done(again)) == (0, 0), again.err
    assert len(objects(".jsonl")) == 1
    assert count_done(extract("b", "--json")) == 0


def test_a_wrong_address_or_missing_permission_is_reported_before_any_work(server: Server):
    draw_signs(1)
    wrong = extract("a", url="s3://no-such-bucket/x")
    assert wrong.code == 3, wrong.err
    assert "error: there is nothing at s3://no-such-bucket/x" in wrong.err
    server.faults = [Fault("403")]
    refused = extract("a")
    assert refused.code == 3, refused.err
    assert f"error: access to {URL} is denied" in refused.err
    assert not list(Path("a").glob(".ita/cache/ocr/*/*.jsonl"))
    gone = extract("a", url="nope://x/y")
    assert gone.code == 2
    for answer in (wrong, refused, gone):
        assert "Traceback" not in answer.err


def test_a_damaged_shared_record_is_reported_and_computed_again(server: Server):
    draw_signs(2)
    assert extract("a").code == 0
    ((path, content),) = objects(".jsonl").items()
    import fsspec

    fsspec.filesystem("s3").pipe_file(path, content.replace(b'"words"', b'"sword"', 1))
    answer = extract("b", "--json")
    assert (answer.code, count_done(answer)) == (4, 2), answer.err
    assert f"skipped a damaged record: s3://{path}, line 1" in answer.err
    assert ita_here("cache", "verify", URL).code == 4
    assert ita_here("cache", "pull", URL, "--workspace", "c").code == 4
    assert len(values("c")) == 2
    assert ita_here("cache", "compact", URL).code == 4
    assert ita_here("cache", "compact", URL, "--drop-damaged").code == 0
    assert ita_here("cache", "verify", URL).code == 0
    assert extract("c").code == 0


# In one process, with small stages.


def run(
    place: str,
    paths: list[Path],
    url: str = URL,
    executor: InProcessExecutor | None = None,
    max_segment_bytes: int = MAX_SEGMENT_BYTES,
    max_segment_seconds: float = MAX_SEGMENT_SECONDS,
) -> CacheSession:
    options = Options(workspace=Path(place), shared=url)
    with CacheSession(options, max_segment_seconds=max_segment_seconds) as sharing:
        sharing.store.max_segment_bytes = max_segment_bytes
        stages = [SizeStage(), DoubleStage()]
        plan = make_plan(stages, [ref(path) for path in paths], sharing.store)
        LocalEngine(executor or InProcessExecutor()).run(plan, sharing.store, NoProgress())
    return sharing


def pictures(count: int) -> list[Path]:
    return [draw(Path(f"in/{number}.png"), "red", (10 + number, 10)) for number in range(count)]


def known(place: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in Path(place).glob(".ita/cache/*/*/*.jsonl"):
        images = {json.loads(line)["image"] for line in path.read_text().splitlines()}
        found.setdefault(path.parent.parent.name, set()).update(images)
    return found


def test_segments_are_uploaded_as_they_are_closed(server: Server):
    seen: list[int] = []

    class SlowExecutor(InProcessExecutor):
        def run_jobs(self, *arguments: object) -> list:
            time.sleep(0.05)
            seen.append(len(objects(".jsonl")))
            return super().run_jobs(*arguments)  # type: ignore[arg-type]

    assert run("a", pictures(12), executor=SlowExecutor(), max_segment_bytes=300).outcome.clean
    assert 0 < seen[-1] < len(objects(".jsonl"))
    assert run("b", pictures(12)).outcome.clean
    assert known("b") == known("a")


def test_a_segment_is_closed_after_its_maximum_time(server: Server):
    run("a", pictures(6), max_segment_seconds=0.0)
    assert len(objects(".jsonl")) > 4


def test_an_interrupted_run_uploads_its_records(server: Server):
    class SlowExecutor(InProcessExecutor):
        left = 2

        def run_jobs(self, *arguments: object) -> list:
            self.left -= 1
            if self.left < 0:
                raise Interrupted
            return super().run_jobs(*arguments)  # type: ignore[arg-type]

    with pytest.raises(Interrupted):
        run("a", pictures(6), executor=SlowExecutor())
    assert known("a")
    assert len(objects("/size/")) == 2
    assert run("b", pictures(6)).outcome.clean
    assert known("b")["size"] >= known("a")["size"]


def test_an_immediate_stop_does_not_wait_for_the_server(server: Server):
    class SlowExecutor(InProcessExecutor):
        def run_jobs(self, *arguments: object) -> list:
            if known("a"):
                raise KeyboardInterrupt
            return super().run_jobs(*arguments)  # type: ignore[arg-type]

    server.faults = [Fault("503", "PUT", ".jsonl")]
    with logged_messages(logging.WARNING) as warnings, pytest.raises(KeyboardInterrupt):
        run("a", pictures(6), executor=SlowExecutor())
    assert warnings == []  # a final upload would have failed
    server.faults = []
    assert run("a", pictures(6)).outcome.clean
    assert run("b", pictures(6)).outcome.clean
    assert known("b") == known("a")


@pytest.mark.parametrize("fault", ["503", "cut put", "403"])
def test_no_record_is_lost_if_the_server_fails_during_a_run(server: Server, fault: str):
    server.faults = [Fault(fault, "PUT", ".jsonl")]
    outcome = run("a", pictures(4)).outcome
    assert outcome.trouble
    assert not outcome.clean
    assert {stage: len(images) for stage, images in known("a").items()} == {"size": 4, "double": 4}
    assert objects(".jsonl") == {}
    server.faults = []
    assert run("a", pictures(4)).outcome.clean
    run("b", pictures(4))
    assert known("b") == known("a")


def test_a_slow_server_does_not_delay_the_stages(server: Server, monkeypatch: pytest.MonkeyPatch):
    server.faults = [Fault("slow", "PUT", ".jsonl", seconds=0.3)]
    finished: list[float] = []
    real = CacheSession.__exit__

    def noted(self: CacheSession, *arguments: object) -> None:
        finished.append(time.monotonic())
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(CacheSession, "__exit__", noted)
    run("a", pictures(8), max_segment_bytes=1)
    waited = time.monotonic() - finished[0]
    assert waited > 0.3  # for what was on its way, after all stages were through
    assert len(objects(".jsonl")) == 8
    assert run("b", pictures(8)).outcome.clean


def test_a_shared_cache_in_memory_and_an_unknown_file_system(tmp_path: Path):
    url = f"memory://{tmp_path.name}/cache"
    run("a", pictures(3), url)
    with CacheSession(Options(workspace=Path("b"), shared=url)) as sharing:
        plan = make_plan([SizeStage(), DoubleStage()], [ref(path) for path in pictures(3)], sharing.store)
        assert not plan.stale
    assert isinstance(sharing.store, Store)
    with pytest.raises(UsageError):
        CacheSession(Options(shared="nope://x/y"))
