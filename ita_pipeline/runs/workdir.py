"""Runs in the making: the folder in which one process at a time trains, and which a killed one leaves to the next.

`runs/<dataset>/.<first 16 of the run key>/` holds checkpoints, the best weights so far and the log. The name is
the key's, so a training finds what an earlier one with the same inputs left, and never that of other inputs. When
the run is finished it is renamed into place, and the folder is removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ita_pipeline.core.errors import UsageError
from ita_pipeline.runs.run import Run


@contextmanager
def making(run: Run, say: Callable[[str], None]) -> Iterator[Path]:
    """A folder to make a run in, this process's own until the end; it stays where the run was not finished.

    Waits where another process is making the same run.

    Raises:
        UsageError: something else lies where the run shall be.
    """
    if run.folder.exists() and not run.complete:
        raise UsageError(f"{run.folder} is in the way: it holds no finished run", "move it elsewhere")
    folder = unfinished(run)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        take(file, say)
        for other in unfinished_runs(run.folder.parent):
            if other != folder:
                say(f"{other} is unfinished and of other inputs; remove it if it is not wanted")
        yield folder
        if run.complete:
            shutil.rmtree(folder, ignore_errors=True)


def unfinished_runs(folder: Path) -> list[Path]:
    """The folders of a dataset's runs that were begun and have checkpoints, but are not finished."""
    return [found.parent for found in sorted(folder.glob(".*/checkpoints"))]


def unfinished(run: Run) -> Path:
    """Where a run lies while it is made."""
    return run.folder.parent / f".{run.folder.name}"


def take(file: IO[str], say: Callable[[str], None]) -> None:
    """Lock a file until it is closed; a process that is killed gives it back."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another process is training this very run; waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        say("this file system knows no locks: see to it that no other process trains the same run")
