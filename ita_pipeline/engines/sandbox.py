"""The executor that runs stages in a process of its own, so that an image that crashes it fails alone."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from ita_pipeline.cache.records import decode
from ita_pipeline.core.plugins import REPORT_STAGE
from ita_pipeline.engines.executor import Job, Limits, StageJobs, StageResults
from ita_pipeline.engines.failures import (
    broken_stage_error,
    needs_only_image,
    plain_image,
    unstorable_error,
)
from ita_pipeline.engines.process import POSTPONED, SubprocessLostError, WorkerProcess
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Postponed, Result, Stage, StageError
from stages.batching import run_bisected


class SubprocessExecutor:
    """An `Executor` in another process, which starts with the first stage and again after it died.

    Its stages stay open side by side, so that an image is decoded once for all of them.
    """

    def __init__(self, limits: Limits | None = None, cores: int | None = None) -> None:
        """With `cores`, stages use as many threads, since other work runs on the same machine."""
        self.limits, self.cores = limits or Limits(), cores
        self.process: WorkerProcess | None = None
        self.working_stages: set[str] = set()
        self.longest_seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.end()

    def open(self, stage: Stage[Any]) -> str:
        """Implement `Executor.open`. If the process dies, open the stage again, as an image is tried again."""
        try:
            return self._open(stage)
        except SubprocessLostError:
            pass
        try:
            return self._open(stage)
        except SubprocessLostError as error:
            message = f"the stage {stage.name} cannot be opened: its process died twice ({error.cause})"
            hint = "run the command again; where memory is short, close other programs or choose a smaller model"
            raise StageError(message, hint) from error

    def _open(self, stage: Stage[Any]) -> str:
        if self.process is None or not self.process.is_running:
            self.process = WorkerProcess(self.limits, self.cores)
        self.process.send(stage)
        device = self.process.receive(math.inf).decode()
        self.process.open_stages[stage.name] = stage
        return device

    def prefetch(self, images: Sequence[ImageRef]) -> None:
        """Implement `Executor.prefetch`."""
        if self.process is not None and self.process.is_running:
            self.process.send(list(images))

    def run_task(self, task: StageJobs) -> StageResults:
        """Implement `Executor.run_task`."""
        lines: dict[str, bytes] = {}

        def run(jobs: Sequence[Job]) -> list[Result]:
            (results,) = self._request([StageJobs(task.stage, jobs)])
            lines.update(results.lines)
            return results.results

        def retry(job: Job, error: SubprocessLostError) -> Result:
            """Run a job again, since a process may be killed by chance once, but hardly twice."""
            if not error.timed_out:
                try:
                    return run([job])[0]
                except SubprocessLostError as second_error:
                    error = second_error
            self._check_stage(task.stage, error)
            return error.failure

        start = time.perf_counter()
        results = run_bisected(run, task.jobs, retry, SubprocessLostError)
        return StageResults(results, time.perf_counter() - start, lines)

    def run_together(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """Implement `Executor.run_together`. If the process dies, run the tasks in turn to find the culprit."""
        try:
            return self._request(tasks)
        except SubprocessLostError:
            return [self.run_task(task) for task in tasks]

    def _check_stage(self, stage: Stage[Any], error: SubprocessLostError) -> None:
        """Check that a stage works on a plain image.

        Raises:
            StageError: the process dies at the plain image too.
        """
        if stage.name in self.working_stages or not needs_only_image(stage):
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plain.png"
            plain_image().save(file)
            try:
                self._request([StageJobs(stage, [Job(ImageRef(hash_file(file), LocalFile(file)))])])
            except SubprocessLostError:
                raise broken_stage_error(stage, str(error)) from error
        self.working_stages.add(stage.name)

    def _request(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """Run tasks in the process.

        Raises:
            SubprocessLostError: the process died, or took too long.
        """
        for task in tasks:
            if not self._is_open(task.stage):
                self.longest_seconds.pop(task.stage.name, None)
                self.open(task.stage)
        assert self.process is not None
        self.process.send({task.stage.name: list(task.jobs) for task in tasks})
        answer = self.process.receive(sum(map(self._find_timeout, tasks)))
        lines = iter(answer.split(b"\n")[:-1])
        return [self._decode_results(task, lines) for task in tasks]

    def _is_open(self, stage: Stage[Any]) -> bool:
        process = self.process
        return process is not None and process.is_running and process.open_stages.get(stage.name) is stage

    def _find_timeout(self, task: StageJobs) -> float:
        """Seconds for a task: the limit for the slowest item, and four times the longest time so far for each."""
        longest = self.longest_seconds.get(task.stage.name, 0.0)
        return self.limits.seconds * (1 if longest else len(task.jobs)) + 4 * longest * len(task.jobs)

    def _decode_results(self, task: StageJobs, lines: Iterator[bytes]) -> StageResults:
        """Decode the answer to a task from the next lines, one per job.

        Raises:
            StageError: a line is no record of the item that the stage was asked about.
        """
        stage, results, seconds = task.stage, list[Result](), 0.0
        records: dict[str, bytes] = {}
        for job, line in zip(task.jobs, lines, strict=False):
            if line.startswith(POSTPONED):
                results.append(Postponed.model_validate_json(line.removeprefix(POSTPONED)))
                continue
            try:
                record = decode(line, stage.value_type)
            except ValueError as error:
                raise unstorable_error(stage, job.item.label, str(error)) from error
            if record.image != job.item.key:
                break
            records[record.image] = line + b"\n"
            self.longest_seconds[stage.name] = max(self.longest_seconds.get(stage.name, 0.0), record.seconds)
            seconds += record.seconds
            results.append(record.result)
        if len(results) != len(task.jobs):
            raise StageError(
                f"the stage {stage.name} returned results for items that it was not given", REPORT_STAGE
            )
        if any(not isinstance(result, Failure) for result in results):
            self.working_stages.add(stage.name)
        return StageResults(results, seconds, records)
