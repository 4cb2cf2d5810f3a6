"""The worker process of a subprocess executor: `python -m ita_pipeline.engines.worker`, started by `process`.

It receives requests over a socket, and ends with its parent and with everything that it has started itself.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ita_pipeline.cache.records import Record, encode
from ita_pipeline.core.plugins import REPORT_STAGE
from ita_pipeline.engines.executor import MEGABYTE, InProcessExecutor, StageJobs
from ita_pipeline.engines.failures import describe_error, unstorable_error
from ita_pipeline.engines.process import BROKEN, POSTPONED, RESULTS, Request
from stages.base import Failure, FailureKind, Postponed, Stage, StageError
from stages.models.threads import limit_cores

# Far more than any sensible result has. Older records may be larger, and are still read.
MAX_RECORD_BYTES = MEGABYTE


def main() -> None:
    """Serve requests until the parent ends."""
    socket, lifeline, cores = (int(number) for number in sys.argv[1:4])
    limit_cores(cores or None)
    ending = threading.Thread(target=_end_with_parent, args=[lifeline], daemon=True)
    ending.start()
    # A stop request goes to the parent; Ctrl-C must not interrupt a batch here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _serve(Connection(socket))
    ending.join()  # ending before the temporary folder is removed would leave it behind


def _end_with_parent(lifeline: int) -> None:
    """Wait until the other end of a pipe closes, which even SIGKILL causes, and end this process group."""
    os.read(lifeline, 1)
    for _ in range(3):  # a stage may be writing to the folder
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _serve(socket: Connection) -> None:
    stages: dict[str, Stage[Any]] = {}
    try:
        executor = InProcessExecutor(socket.recv())
        while True:
            answer = _handle(socket.recv(), executor, stages)
            if answer is not None:
                socket.send_bytes(answer)
    except (EOFError, ConnectionError):
        return  # the parent has ended


def _handle(request: Request, executor: InProcessExecutor, stages: dict[str, Stage[Any]]) -> bytes | None:
    """Handle a request and return the answer, if it has one."""
    try:
        if isinstance(request, Stage):
            stages[request.name] = request
            _limit_memory(None)
            device = _open(executor, request)
            _limit_memory(executor.limits.memory_megabytes)
            return RESULTS + b"\n" + device.encode()
        if isinstance(request, list):
            executor.prefetch(request)
            return None
        tasks = [StageJobs(stages[name], jobs) for name, jobs in request.items()]
        return RESULTS + b"\n" + _run_tasks(executor, tasks)
    except StageError as error:
        return BROKEN + b"\n" + json.dumps([str(error), error.hint]).encode()


def _open(executor: InProcessExecutor, stage: Stage[Any]) -> str:
    """Open a stage and return its device.

    Raises:
        StageError: it raised something, which a stage made elsewhere may do.
    """
    try:
        return executor.open(stage)
    except (Exception, SystemExit) as error:
        if isinstance(error, StageError):
            raise
        raise StageError(
            f"the stage {stage.name} cannot be opened: {describe_error(error)}", REPORT_STAGE
        ) from error


def _run_tasks(executor: InProcessExecutor, tasks: Sequence[StageJobs]) -> bytes:
    """Run tasks and encode their results, one line per job."""
    lines: list[bytes] = []
    for task, results in zip(tasks, executor.run_together(tasks), strict=True):
        seconds = results.seconds / max(1, len(task.jobs))
        for job, result in zip(task.jobs, results.results, strict=True):
            if isinstance(result, Postponed):
                lines.append(POSTPONED + result.model_dump_json().encode() + b"\n")
            else:
                try:
                    lines.append(_encode_record(Record(job.item.key, result, seconds)))
                except Exception as error:  # a value that was built without validation
                    raise unstorable_error(task.stage, job.item.label, describe_error(error)) from error
    return b"".join(lines)


def _encode_record(record: Record) -> bytes:
    """Encode a record, or the failure of its item if it is too large for every process that reads the cache."""
    line = encode(record)
    if len(line) <= MAX_RECORD_BYTES:
        return line
    reason = f"the result has {len(line):,} bytes, more than the {MAX_RECORD_BYTES:,} that a record may have"
    return encode(Record(record.image, Failure(kind=FailureKind.RESOURCE, reason=reason), record.seconds))


def _limit_memory(megabytes: int | None) -> None:
    """Limit the memory that this process may allocate from now on, or lift the limit.

    An image that needs more raises MemoryError. A system without such limits limits only the number of pixels.
    """
    try:
        import resource

        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        limit = hard_limit
        if megabytes is not None:
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
            limit = pages * resource.getpagesize() + megabytes * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main()
