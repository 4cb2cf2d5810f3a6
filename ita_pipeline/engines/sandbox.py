"""Run stages in a process of their own, so that whatever a picture does to it hurts that picture only."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ita_pipeline.cache.validate import decode_exactly
from ita_pipeline.engines.executor import Job, Limits, StageJobs, StageResults
from ita_pipeline.engines.failures import broken_stage_error, needs_only_image, plain_image
from ita_pipeline.engines.protocol import BROKEN, POSTPONED, JobRequest, PrefetchRequest, Request
from ita_pipeline.sources.local import LocalFile, file_digest
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Postponed, Result, Stage, StageError, run_bisected

# A process may be killed by chance while a picture is alone in it; by chance twice running is another matter.
TRIES_ALONE = 2


class SubprocessLostError(Exception):
    """The worker died, or took too long and was stopped."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(slots=True)
class Process:
    """A running worker and the two ends that lead to it."""

    child: subprocess.Popen[bytes]
    socket: Connection
    lifeline: int
    folder: tempfile.TemporaryDirectory[str]


class SubprocessExecutor:
    """`Executor` in another process, started with the first stage and again after each death.

    Stages stay open in it side by side, so that a picture which is decoded once can be shown to all of them.
    """

    def __init__(self, limits: Limits | None = None, cores: int | None = None) -> None:
        """With `cores`, stages divide their work for so many, where others work on the same machine."""
        self.limits, self.cores = limits or Limits(), cores
        self.process: Process | None = None
        self.stop: Callable[[], int | None] = lambda: 0
        self.opened: dict[str, Stage[Any]] = {}
        self.proved: set[str] = set()
        self.usual: dict[str, float] = {}

    def open(self, stage: Stage[Any]) -> str:
        if self.process is None:
            self.process = start(self.limits, self.cores)
            self.stop = weakref.finalize(self, stop, self.process)
        try:
            self.say(stage)
            device = self.answer(math.inf).decode()
        except SubprocessLostError as lost:
            reason = lost.failure.reason
            raise StageError(f"the stage {stage.name} cannot be made ready: {reason}", "ita --debug …") from lost
        self.opened[stage.name] = stage
        return device

    def prefetch(self, images: Sequence[ImageRef]) -> None:
        """Only a hint: a worker that is not there, or dies of it, does without."""
        if self.process is not None:
            self.say(PrefetchRequest(list(images)))

    def say(self, order: Request) -> None:
        assert self.process is not None
        with contextlib.suppress(OSError):  # it died since the last answer; the next one will say so
            self.process.socket.send(order)

    def run_jobs(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        """Implement `Executor.run_jobs`."""
        return self.run_task(StageJobs(stage, jobs)).results

    def run_task(self, task: StageJobs) -> StageResults:
        """Implement `Executor.run_task`."""
        stage, lines = task.stage, dict[str, bytes]()

        def ask(jobs: Sequence[Job]) -> list[Result]:
            answer = self.ask(stage, jobs)
            lines.update(answer.lines)
            return answer.results

        def retry(job: Job, lost: SubprocessLostError) -> Result:
            return self._retry_alone(stage, job, lost, ask)

        start_time = time.perf_counter()
        results = self.judged(stage, run_bisected(ask, task.jobs, retry, SubprocessLostError))
        return StageResults(results, time.perf_counter() - start_time, lines)

    def run_together(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """Where the worker dies, tasks are done one after the other, so that it is seen of which picture."""
        try:
            done = self._request(tasks)
        except SubprocessLostError:
            return [self.run_task(task) for task in tasks]
        for task, one in zip(tasks, done, strict=True):
            self.judged(task.stage, one.results)
        return done

    def judged(self, stage: Stage[Any], results: list[Result]) -> list[Result]:
        """Note that a stage is not broken where it made something of something."""
        if any(not isinstance(result, Failure) for result in results):
            self.proved.add(stage.name)
        return results

    def _retry_alone(
        self,
        stage: Stage[Any],
        job: Job,
        lost: SubprocessLostError,
        ask: Callable[[Sequence[Job]], list[Result]],
    ) -> Result:
        """Try a picture again that a worker died of while it was alone with it."""
        for _ in range(TRIES_ALONE - 1):
            if lost.failure.kind is FailureKind.RESOURCE and "longer" in lost.failure.reason:
                break
            try:
                return ask([job])[0]
            except SubprocessLostError as again:
                lost = again
        self.prove(stage, lost)
        return lost.failure

    def prove(self, stage: Stage[Any], lost: SubprocessLostError) -> None:
        """Make sure that it is the picture: a stage that dies of any picture is broken.

        Raises:
            StageError: it is the stage.
        """
        if stage.name in self.proved or not needs_only_image(stage):
            return
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.png"
            plain_image().save(plain)
            try:
                self.ask(stage, [Job(ImageRef(file_digest(plain), LocalFile(plain)))])
            except SubprocessLostError:
                raise broken_stage_error(stage, lost.failure.reason) from lost
        self.proved.add(stage.name)

    def ask(self, stage: Stage[Any], jobs: Sequence[Job]) -> StageResults:
        """
        Raises:
            SubprocessLostError: the worker died of it, or took too long.
        """
        return self._request([StageJobs(stage, jobs)])[0]

    def _request(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """As `ask`, of several stages at once."""
        for task in tasks:
            if self.opened.get(task.stage.name) is not task.stage:
                self.usual.pop(task.stage.name, None)
                self.open(task.stage)
        self.say([JobRequest(task.stage.name, list(task.jobs)) for task in tasks])
        lines = self.answer(sum(map(self.allowed, tasks))).split(b"\n")[:-1]
        done: list[StageResults] = []
        for task in tasks:
            done.append(self.understood(task, lines[: len(task.jobs)]))
            del lines[: len(task.jobs)]
        return done

    def allowed(self, task: StageJobs) -> float:
        """Seconds: the slowest picture may take its limit, the others take what pictures took so far."""
        usual = self.usual.get(task.stage.name, 0.0)
        return self.limits.seconds * (1 if usual else len(task.jobs)) + 4 * usual * len(task.jobs)

    def understood(self, task: StageJobs, lines: Sequence[bytes]) -> StageResults:
        """Read the answer of the worker to a task, one line per job.

        Raises:
            StageError: a line is no record of the item that the stage was asked about.
        """
        stage, results, seconds = task.stage, list[Result](), 0.0
        records: dict[str, bytes] = {}
        for line, job in zip(lines, task.jobs, strict=False):
            if line.startswith(POSTPONED):
                results.append(Postponed.model_validate_json(line.removeprefix(POSTPONED)))
                continue
            record = decode_exactly(line, job.item.key, stage.value_type)
            if record is None:
                break
            records[record.image] = line + b"\n"
            self.usual[stage.name] = max(self.usual.get(stage.name, 0.0), record.seconds)
            seconds += record.seconds
            results.append(record.result)
        if len(results) != len(task.jobs):
            raise StageError(f"the stage {stage.name} answered for other items than it was asked about")
        return StageResults(results, seconds, records)

    def answer(self, allowed: float) -> bytes:
        assert self.process is not None
        socket = self.process.socket
        try:
            if not socket.poll(None if allowed == math.inf else allowed):
                self.kill()
                reason = f"took longer than {self.limits.seconds:.0f} s"
                raise SubprocessLostError(Failure(kind=FailureKind.RESOURCE, reason=reason))
            kind, _, rest = socket.recv_bytes().partition(b"\n")
        except (EOFError, OSError):
            code = self.kill()
            raise SubprocessLostError(as_failure(code)) from None
        except BaseException:
            self.kill()  # interrupted: what the worker still says would be taken for another answer
            raise
        if kind == BROKEN:
            message, hint = json.loads(rest)
            raise StageError(message, hint)
        return rest

    def kill(self) -> int:
        """End the worker and all that it has started; its exit code."""
        self.process = None
        self.opened.clear()
        return self.stop() or 0

    def close(self) -> None:
        self.kill()

    def __enter__(self) -> SubprocessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(limits: Limits, cores: int | None) -> Process:
    ours, theirs = Pipe()
    held, lifeline = os.pipe()
    folder = tempfile.TemporaryDirectory(prefix="ita-")
    here = os.getcwd()  # noqa: PTH109
    places = os.pathsep.join(place or here for place in sys.path)
    environment = {**os.environ, "PYTHONPATH": places, "TMPDIR": folder.name}
    # -P: a folder of pictures may hold a file that is called like one of our modules.
    command = [sys.executable, "-P", "-m", "ita_pipeline.engines.worker"]
    command += [str(theirs.fileno()), str(held), str(cores or 0)]
    # A session of its own: the terminal's Ctrl-C is for us, and all that it starts can be ended at once.
    child = subprocess.Popen(
        command,
        env=environment,
        pass_fds=(theirs.fileno(), held),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if has_descriptor() else subprocess.DEVNULL,
        start_new_session=True,
    )
    theirs.close()
    os.close(held)
    ours.send(limits)
    return Process(child, ours, lifeline, folder)


def has_descriptor() -> bool:
    try:
        return sys.stderr.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False


def stop(process: Process) -> int:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.child.pid, signal.SIGKILL)
    code = process.child.wait()
    process.socket.close()
    with contextlib.suppress(OSError):
        os.close(process.lifeline)
    process.folder.cleanup()
    return code


def as_failure(code: int) -> Failure:
    """What the death of a worker says of the picture that it died of."""
    try:
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        name = f"signal {-code}"
    kind = FailureKind.RESOURCE if code == -signal.SIGKILL else FailureKind.PERMANENT
    return Failure(kind=kind, reason=f"the process that looked at it died of it ({name})")
