"""Read regular files without ever waiting: a name that data gives may be that of a pipe or a device."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def read_chunks(path: Path, max_bytes: float = math.inf) -> Iterator[bytes]:
    """Read a regular file to its end, or to one byte more than `max_bytes`, also if it grows meanwhile.

    Raises:
        OSError: It is no regular file, cannot be read, or would have to be waited for.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # not even opened, since some devices act on that
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    descriptor, remaining = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), max_bytes + 1
    try:
        while remaining and (chunk := os.read(descriptor, int(min(remaining, 1 << 20)))):
            remaining -= len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file, and of one that is larger than `max_bytes` one byte more.

    Raises:
        OSError: See `read_chunks`.
    """
    return b"".join(read_chunks(path, max_bytes))
