"""The process in which stages meet pictures: `python -m ita_pipeline.engines.worker`, started by `isolation`.

It is told what to do over a socket, and dies with whoever started it, taking along all that it has started itself.
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
from ita_pipeline.engines.executor import MEGABYTE, InProcessExecutor, StageJobs
from ita_pipeline.engines.protocol import BROKEN, POSTPONED, READY, RESULTS, PrefetchRequest, Request
from stages.base import Postponed, Result, Stage, StageError
from stages.models.threads import limit_cores


def main() -> None:
    socket, lifeline, cores = (int(number) for number in sys.argv[1:4])
    limit_cores(cores or None)
    ending = threading.Thread(target=die_with_parent, args=[lifeline], daemon=True)
    ending.start()
    # Those who stop a run tell its parent; a Ctrl-C meant for the parent must not tear a batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(socket))
    ending.join()  # the parent is gone: to end before its folder is removed would leave it behind


def die_with_parent(lifeline: int) -> None:
    """Wait for the other end of a pipe to close, which even SIGKILL does, and end this whole process group."""
    os.read(lifeline, 1)
    for _ in range(3):  # a stage may write to it at this very moment
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def serve(socket: Connection) -> None:
    """Carry out orders until the other end is gone."""
    try:
        executor = InProcessExecutor(socket.recv())
    except (EOFError, ConnectionError):
        return
    stages: dict[str, Stage[Any]] = {}
    while True:
        try:
            order: Request = socket.recv()
        except (EOFError, ConnectionError):
            return
        answer = carried_out(order, executor, stages)
        try:
            if answer is not None:
                socket.send_bytes(answer)
        except ConnectionError:
            return


def carried_out(order: Request, executor: InProcessExecutor, stages: dict[str, Stage[Any]]) -> bytes | None:
    """What is to be said of an order, if anything is."""
    try:
        if isinstance(order, Stage):
            stages[order.name] = order
            limit_memory(None)
            device = executor.open(order)
            limit_memory(executor.limits.memory_megabytes)
            return READY + b"\n" + device.encode()
        if isinstance(order, PrefetchRequest):
            executor.prefetch(order.images)
            return None
        return RESULTS + b"\n" + answers(executor, [StageJobs(stages[ask.stage], ask.jobs) for ask in order])
    except StageError as error:
        return BROKEN + b"\n" + json.dumps([str(error), error.hint]).encode()


def answers(executor: InProcessExecutor, tasks: Sequence[StageJobs]) -> bytes:
    """A line a job, those of one task after those of another."""
    return b"".join(
        told(job.item.key, result, done.seconds / len(task.jobs))
        for task, done in zip(tasks, executor.run_together(tasks), strict=True)
        for job, result in zip(task.jobs, done.results, strict=True)
    )


def told(key: str, result: Result, seconds: float) -> bytes:
    """A result as the line of its record, or of why there is none."""
    if isinstance(result, Postponed):
        return POSTPONED + result.model_dump_json().encode() + b"\n"
    return encode(Record(key, result, seconds))


def limit_memory(megabytes: int | None) -> None:
    """Let this process take so much more than it has now, or what it may: a picture beyond it is a MemoryError."""
    try:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if megabytes is None:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            return
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        wanted = pages * resource.getpagesize() + megabytes * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))
    except (ImportError, OSError, ValueError):
        return  # a system without such limits; pixels are limited everywhere


if __name__ == "__main__":
    main()
