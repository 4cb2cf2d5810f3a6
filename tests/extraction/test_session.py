"""Machines that share a cache: none does what another has done, and nothing that is wrong there loses work here."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
from tests.support.fakes import Answer, DoubleStage, SizeStage, draw, ita, ita_here, ref
from tests.support.s3_server import URL, Fault, Server, emptied, objects, s3_server
from tests.test_crash import sign

OCR = ["--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1"]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    emptied()
    one_server.requests.clear()
    yield one_server
    one_server.faults.clear()


def signs(count: int, folder: str = "images") -> None:
    for number in range(count):
        sign(Path(folder) / f"{number}.png", f"NUMBER {number}")


def extract(workspace: str, *more: str, url: str = URL) -> Answer:
    return ita_here("extract", "images", *OCR, "--workspace", workspace, "--shared", url, *more)


def done(answer: Answer) -> int:
    return json.loads(answer.out)["stages"][0]["done"]


def values(workspace: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in Path(workspace).glob(".ita/cache/ocr/*/*.jsonl"):
        for record in map(json.loads, path.read_text().splitlines()):
            assert found.setdefault(record["image"], record["value"]) == record["value"]
    return found


def test_what_one_machine_did_another_does_not_do_again(server: Server):
    signs(3)
    first = extract("a")
    assert first.code == 0, first.err
    assert f"put 1 segments, 0.00 MB, to {URL}" in first.err
    second = extract("b", "--json")
    assert (second.code, done(second)) == (0, 0), second.err
    assert f"ocr: fetched 1 segments, 0.00 MB, from {URL}" in second.err
    assert values("a") == values("b")
    gets = server.asked("GET", ".jsonl")
    assert extract("b").code == 0
    assert server.asked("GET", ".jsonl") == gets


def test_a_run_that_changes_nothing_puts_nothing(server: Server):
    signs(1)
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


def test_two_machines_at_once_killed_and_run_again_end_as_one_that_worked_alone(server: Server):
    signs(12)
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
    assert done(extract("a", "--json")) == 0
    assert ita_here("cache", "verify", URL).code == 0


def test_with_a_server_that_is_not_there_work_goes_on_and_is_put_later(server: Server):
    signs(2)
    command = ["extract", "images", *OCR, "--workspace", "a", "--shared", URL]
    answer = ita(*command, AWS_ENDPOINT_URL=NOWHERE)
    assert answer.code == 1, answer.err
    assert f"the shared cache {URL} does not answer" in answer.err
    assert "not everything is in the shared cache" in answer.err
    assert "Traceback" not in answer.err
    assert len(values("a")) == 2
    again = extract("a", "--json")
    assert (again.code, done(again)) == (0, 0), again.err
    assert len(objects(".jsonl")) == 1
    assert done(extract("b", "--json")) == 0


def test_a_wrong_place_or_no_permission_is_one_sentence_before_any_work(server: Server):
    signs(1)
    wrong = extract("a", url="s3://no-such-bucket/x")
    assert wrong.code == 2, wrong.err
    assert "error: there is nothing at s3://no-such-bucket/x" in wrong.err
    server.faults = [Fault("403")]
    refused = extract("a")
    assert refused.code == 3, refused.err
    assert f"error: {URL} may not be read" in refused.err
    assert not list(Path("a").glob(".ita/cache/ocr/*/*.jsonl"))
    gone = extract("a", url="nope://x/y")
    assert gone.code == 2
    for answer in (wrong, refused, gone):
        assert "Traceback" not in answer.err


def test_what_is_damaged_there_is_named_done_anew_and_mended(server: Server):
    signs(2)
    assert extract("a").code == 0
    ((path, content),) = objects(".jsonl").items()
    import fsspec

    fsspec.filesystem("s3").pipe_file(path, content.replace(b'"words"', b'"sword"', 1))
    answer = extract("b", "--json")
    assert (answer.code, done(answer)) == (4, 2), answer.err
    assert f"damaged, and left out: s3://{path}, line 1" in answer.err
    assert ita_here("cache", "verify", URL).code == 4
    assert ita_here("cache", "pull", URL, "--workspace", "c").code == 4
    assert len(values("c")) == 2
    assert ita_here("cache", "compact", URL).code == 4
    assert ita_here("cache", "compact", URL, "--drop-damaged").code == 0
    assert ita_here("cache", "verify", URL).code == 0
    assert extract("c").code == 0


def test_the_shared_cache_is_set_by_a_file_the_environment_or_a_flag(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    signs(1)
    Path("ita.yaml").write_text("shared: mnt/cache\n")
    assert ita_here("extract", "images", *OCR).code == 0
    assert len(list(Path("mnt/cache/ocr").glob("*/*.jsonl"))) == 1
    monkeypatch.setenv("ITA_SHARED", URL)
    assert ita_here("extract", "images", *OCR).code == 0
    monkeypatch.delenv("ITA_SHARED")
    assert len(objects(".jsonl")) == 1
    shown = json.loads(ita_here("config", "show", "--json").out)
    (setting,) = [one for one in shown["settings"] if one["name"] == "shared"]
    assert (setting["value"], setting["origin"]) == ("mnt/cache", "ita.yaml")
    assert "ocr" in ita_here("cache", "ls", "--shared", "--preset", "bundled").out


def test_a_shared_cache_is_looked_after_as_the_one_here(server: Server):
    signs(2)
    assert extract("a").code == 0
    assert extract("a", "--refresh", "ocr").code == 0
    (key,) = json.loads(ita_here("cache", "ls", URL, "--preset", "bundled", "--json").out)["keys"]
    assert (key["stage"], key["values"], key["segments"]) == ("ocr", None, 2)
    compacted = ita_here("cache", "compact", URL)
    assert (compacted.code, "1 segments, 0 records" in compacted.out) == (0, True), compacted.err
    assert len(objects(".jsonl")) == 1
    assert "2 lines in 1 segments, 0 damaged" in ita_here("cache", "verify", URL).out
    assert "2 records under 1 keys" in ita_here("cache", "export", "all", URL).out
    assert ita_here("cache", "pull", URL, "--workspace", "copy").code == 0
    time.sleep(1)  # S3 tells whole seconds, and the key used last stays.
    assert extract("a", "--set", "ocr.page_mode=6").code == 0
    shown = ita_here("cache", "gc", URL, "--dry-run")
    assert (shown.code, len(objects("stage.json"))) == (0, 2)
    assert ita_here("cache", "gc", URL).code == 2
    assert ita_here("cache", "gc", URL, "--yes").code == 0
    assert len(objects("stage.json")) == 1
    again = ita_here("cache", "push", URL, "--workspace", "copy")
    assert again.code == 0, again.err
    assert len(objects("stage.json")) == 2
    assert done(extract("b", "--json")) == 0


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


def test_in_a_long_run_segments_go_as_they_are_closed(server: Server):
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


def test_an_old_segment_is_closed_so_that_others_see_it(server: Server):
    run("a", pictures(6), max_segment_seconds=0.0)
    assert len(objects(".jsonl")) > 4


def test_what_an_interrupted_or_failed_run_has_done_is_put(server: Server):
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


def test_whoever_wants_to_stop_at_once_waits_for_no_server(server: Server, monkeypatch: pytest.MonkeyPatch):
    class SlowExecutor(InProcessExecutor):
        def run_jobs(self, *arguments: object) -> list:
            if known("a"):
                raise KeyboardInterrupt
            return super().run_jobs(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(CacheSession, "_upload_pending", lambda *_: pytest.fail("it waited"))
        with pytest.raises(KeyboardInterrupt):
            run("a", pictures(6), executor=SlowExecutor())
    assert run("a", pictures(6)).outcome.clean
    assert run("b", pictures(6)).outcome.clean
    assert known("b") == known("a")


@pytest.mark.parametrize("fault", ["503", "cut put", "403"])
def test_a_server_that_fails_in_the_middle_of_a_run_loses_nothing(server: Server, fault: str):
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


def test_a_slow_server_does_not_hold_up_the_stages(server: Server, monkeypatch: pytest.MonkeyPatch):
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


def test_two_sharings_in_memory(tmp_path: Path):
    url = f"memory://{tmp_path.name}/cache"
    run("a", pictures(3), url)
    with CacheSession(Options(workspace=Path("b"), shared=url)) as sharing:
        plan = make_plan([SizeStage(), DoubleStage()], [ref(path) for path in pictures(3)], sharing.store)
        assert not plan.stale
    assert isinstance(sharing.store, Store)
    with pytest.raises(UsageError):
        CacheSession(Options(shared="nope://x/y"))
