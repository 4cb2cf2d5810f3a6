"""Work folders of unfinished runs, each used by one process at a time.

`runs/<dataset>/.<first 16 of the run key>/` holds checkpoints, the best weights so far and the log. The name
contains the key, so a training only resumes one with the same inputs. When the run is finished it is renamed to its
final folder, and the work folder is removed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.run import Run

logger = logging.getLogger(__name__)


@contextmanager
def exclusive_workdir(run: Run) -> Iterator[Path]:
    """Lock a run's work folder for this process; it remains unless the run is finished in the meantime.

    Waits while another process has the lock.

    Raises:
        UsageError: the run's final folder exists but contains no complete run.
    """
    if run.folder.exists() and not run.is_complete:
        raise UsageError(f"{run.folder} is in the way: it holds no finished run", "move it elsewhere")
    folder = workdir_path(run)
    with _locked(folder / "lock"):
        for other in unfinished_runs(run.folder.parent):
            if other != folder:
                logger.info(f"{other} is unfinished and of other inputs; remove it if it is not wanted")
        yield folder
        if run.is_complete:
            shutil.rmtree(folder, ignore_errors=True)


def unfinished_runs(folder: Path) -> list[Path]:
    """Return the work folders of a dataset that have checkpoints."""
    return [checkpoints.parent for checkpoints in sorted(folder.glob(".*/checkpoints"))]


def workdir_path(run: Run) -> Path:
    """Return the path of a run's work folder."""
    return run.folder.parent / f".{run.folder.name}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, even if it is killed."""
    # A soft lock would outlive a process that is killed on another machine.
    lock = FileLock(path, fallback_to_soft=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("another process is training this very run; waiting for it")
        while not lock.is_locked:
            # The folder is gone when the other process has finished the run.
            path.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                lock.acquire()
    except OSError:
        logger.info("this file system knows no locks: see to it that no other process trains the same run")
    try:
        yield
    finally:
        lock.release()
