"""The worker process of a subprocess executor: how it is started, sent requests, and ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from ita_pipeline.engines.executor import Job, Limits
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Stage, StageError

# A stage to open, jobs for open stages by their names, or images that come next, which the worker does not answer.
Request = Stage[Any] | dict[str, list[Job]] | list[ImageRef]

# The first line of an answer: the results of a request follow, or the error of a stage that cannot work at all.
RESULTS, BROKEN = b"results", b"broken"

# A line of the results that starts with this reports a postponed job; any other line is a record.
POSTPONED = b"postponed "


# By default, glibc keeps freed blocks of up to 32 MB, such as the 16 MB in which Pillow stores large images, in the
# heap of each thread. With these, memory of a large image is the system's again as soon as the image is dropped.
_RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}


class SubprocessLostError(Exception):
    """The worker process died of `cause`, a signal or an exit code, or took too long and was killed."""

    def __init__(self, failure: Failure, cause: str = "", timed_out: bool = False) -> None:
        super().__init__(failure.reason)
        self.failure, self.cause, self.timed_out = failure, cause, timed_out


class WorkerProcess:
    """A running worker, its open stages, its socket, its temporary folder, and the pipe whose closing ends it.

    It ends with this object, or with the process that started it.
    """

    def __init__(self, limits: Limits, cores: int | None) -> None:
        self.limits = limits
        self.open_stages: dict[str, Stage[Any]] = {}
        self.socket, child_socket = Pipe()
        child_lifeline, lifeline = os.pipe()
        self.folder = tempfile.TemporaryDirectory(prefix="ita-")
        python_path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)  # noqa: PTH109
        # -P: the current folder may contain a file with the name of a module.
        command = [sys.executable, "-P", "-m", "ita_pipeline.engines.worker"]
        command += [str(child_socket.fileno()), str(child_lifeline), str(cores or 0)]
        # A session of its own: the terminal's Ctrl-C does not reach it, and its children end with it.
        self.child = subprocess.Popen(
            command,
            env={**_RETURN_MEMORY, **os.environ, "PYTHONPATH": python_path, "TMPDIR": self.folder.name},
            pass_fds=(child_socket.fileno(), child_lifeline),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if _has_stderr() else subprocess.DEVNULL,
            start_new_session=True,
        )
        child_socket.close()
        os.close(child_lifeline)
        self._end = weakref.finalize(self, _end_process, self.child, self.socket, lifeline, self.folder)
        self.socket.send(limits)

    @property
    def is_running(self) -> bool:
        """Whether the worker was not ended yet. It may have died since the last answer."""
        return self._end.alive

    def send(self, request: Request) -> None:
        """Send a request. If the worker has died, `receive` raises."""
        with contextlib.suppress(OSError):
            self.socket.send(request)

    def receive(self, timeout: float) -> bytes:
        """Wait for the answer to a request; `timeout` is in seconds.

        Raises:
            StageError: a stage cannot work at all.
            SubprocessLostError: the worker died, or took too long.
        """
        try:
            if not self.socket.poll(None if timeout == math.inf else timeout):
                reason = f"took longer than {self.limits.seconds:.0f} s"
                raise SubprocessLostError(Failure(kind=FailureKind.RESOURCE, reason=reason), timed_out=True)
            kind, _, content = self.socket.recv_bytes().partition(b"\n")
        except (EOFError, OSError):
            raise _lost_process_error(self.end()) from None
        except BaseException:
            self.end()  # a later answer would be taken for that to another request
            raise
        if kind == BROKEN:
            message, hint = json.loads(content)
            raise StageError(message, hint)
        return content

    def end(self) -> int:
        """Kill the worker and its children, and return its exit code; 0 if it was ended before."""
        return self._end() or 0


def _has_stderr() -> bool:
    try:
        return sys.stderr.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False


def _end_process(
    child: subprocess.Popen[bytes], socket: Connection, lifeline: int, folder: tempfile.TemporaryDirectory[str]
) -> int:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    code = child.wait()
    socket.close()
    with contextlib.suppress(OSError):
        os.close(lifeline)
    folder.cleanup()
    return code


def _lost_process_error(code: int) -> SubprocessLostError:
    """The error for a worker that died with this exit code, with the failure of the item at which it died."""
    try:
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        cause = f"signal {-code}"
    kind = FailureKind.RESOURCE if code == -signal.SIGKILL else FailureKind.PERMANENT
    failure = Failure(kind=kind, reason=f"the process that looked at it died of it ({cause})")
    return SubprocessLostError(failure, cause)
