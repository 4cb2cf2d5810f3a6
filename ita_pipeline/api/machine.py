"""Properties of this machine: memory, and the file system and its speed."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path


def available_memory() -> int | None:
    """Return the bytes that a new process may use: the machine's, or a container's if that is less."""
    import psutil

    available: list[int] = []
    with suppress(OSError):
        available.append(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # the limit is "max" if there is none
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        available.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(available, default=None)


def file_system_type(folder: Path) -> str:
    """Return the type of the file system that contains a folder, or an empty text if it is unknown."""
    import psutil

    mounts = [mount for mount in psutil.disk_partitions(all=True) if folder.is_relative_to(mount.mountpoint)]
    # The longest mount point counts; of equal ones the last, which hides the others.
    return max(reversed(mounts), key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def measure_write(folder: Path) -> float:
    """Return the seconds that it takes to store one record safely.

    Raises:
        OSError: the file cannot be written, or its content differs when it is read.
    """
    content = os.urandom(4096)
    with tempfile.TemporaryDirectory(prefix=".ita-doctor-", dir=folder) as name:
        start = time.perf_counter()
        before, after = Path(name) / "before", Path(name) / "after"
        with before.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        before.rename(after)
        if after.read_bytes() != content:
            raise OSError("what was written is not what is read")
        return time.perf_counter() - start


def nearest_folder(path: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
