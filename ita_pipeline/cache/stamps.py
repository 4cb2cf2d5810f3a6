"""How a file stood when it was looked at, and whether that can be relied on."""

from __future__ import annotations

import os
import time
from pathlib import Path

# A file that changed this shortly before it was looked at may change again within the same tick of its clock.
SETTLED_AFTER, SETTLED_AFTER_ON_COARSE_CLOCKS = 0.1, 2.5


def stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def settle(path: Path) -> tuple[bool, os.stat_result]:
    """The state of a file, after a short wait where it changed just now, and whether it can be relied on."""
    status = path.stat()
    if not settled(status):
        time.sleep(SETTLED_AFTER)
        status = path.stat()
    return settled(status), status


def settled(status: os.stat_result) -> bool:
    """Whether a file changed long enough ago for its next change to show in its times."""
    coarse = status.st_mtime_ns % 1_000_000_000 == 0
    wait = SETTLED_AFTER_ON_COARSE_CLOCKS if coarse else SETTLED_AFTER
    return abs(time.time() - status.st_mtime) > wait


def older_than(path: Path, seconds: float) -> bool:
    """Whether a file changed last longer ago than this."""
    return time.time() - path.stat().st_mtime > seconds
