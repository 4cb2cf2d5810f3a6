"""A cache on object storage, or on any file system that fsspec knows: the same folders, whole immutable objects.

`URL/<stage>/<key>/` holds what a workspace's `.ita/cache/<stage>/<key>/` holds. A segment is put when nothing more
is appended to it, under the name that it has, which no other machine gives; so nobody overwrites, and no lock is
needed.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ita_pipeline.cache.keys import SHORT, StageKey
from ita_pipeline.cache.lineage import LONGEST_NOTE, NOTE, Merge, parse_merge
from ita_pipeline.cache.records import NAME
from ita_pipeline.cache.store import KEY_FILE, key_text
from ita_pipeline.cache.validate import LONGEST_DESCRIPTION, checked_key, parsed
from ita_pipeline.core import remote
from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.files import open_atomically

STAGE_NAME, KEY_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}"), re.compile(rf"[0-9a-f]{{{SHORT}}}")

# File systems where an object appears whole or not at all; elsewhere a file is written aside, and renamed.
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"}

AT_ONCE = 128 * 1024 * 1024

TRIES = 3

# What the system says of this machine's disk, and of no other.
HERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

A_DAY = 86_400.0


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the records of a key lie: a folder in a folder."""

    stage: str
    short: str

    @staticmethod
    def of(key: StageKey) -> Place:
        return Place(key.stage, key.short)

    def __str__(self) -> str:
        return f"{self.stage}/{self.short}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in a place: segments with their bytes, notes of what was brought together, and, in seconds since
    1970, when the key was described and when any of it changed last. `others` are files half made.
    """

    segments: dict[str, int] = field(default_factory=dict)
    notes: frozenset[str] = frozenset()
    described: float | None = None
    changed: float = 0.0
    others: tuple[str, ...] = ()


class Shared:
    """A shared cache. What is wrong with the connection is raised as its library says it."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            UserError: there is no such file system, or what it takes is not installed.
        """
        whole = url if remote.is_url(url) else Path(url).expanduser().absolute().as_uri()
        self.url = remote.without_query(whole).rstrip("/")
        self.files, root = remote.find_filesystem(whole)
        self.root = root.rstrip("/")
        if not self.root.strip("/"):
            raise UsageError(
                f"{url} names no place for a cache", "name a bucket or a folder: s3://bucket/ita-cache"
            )
        self.protocol = remote.protocol_of(whole)

    def path(self, place: Place, name: str = "") -> str:
        return f"{self.root}/{place}/{name}" if name else f"{self.root}/{place}"

    def address(self, place: Place, name: str = "") -> str:
        """As a person is told."""
        return f"{self.url}/{place}/{name}" if name else f"{self.url}/{place}"

    def ask(self, call: Callable[[], Answer]) -> Answer:
        return remote.retry(call, remote.RequestLimits(tries=TRIES))

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Whatever is wrong with the place is one sentence.

        Raises:
            UserError: it is not there, does not answer, or may not be read or written.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # each file system's library has its own
            if isinstance(error, OSError) and error.errno in HERE:
                raise
            if isinstance(error, OSError) or remote.is_transient(error) or remote.lacks_credentials(error):
                raise remote.as_user_error(error, self.url) from error
            raise

    def entries(self, path: str) -> list[dict[str, Any]]:
        """What lies in a folder, as it is now; a folder that is not there is empty.

        Raises:
            FileNotFoundError: the bucket itself is not there.
        """

        def call() -> list[dict[str, Any]]:
            self.files.invalidate_cache()
            return self.files.ls(path, detail=True)

        try:
            return self.ask(call)
        except FileNotFoundError as error:
            if error.__cause__ is not None and "bucket" in type(error.__cause__).__name__.lower():
                raise
            return []

    def listing(self, place: Place) -> Listing:
        segments: dict[str, int] = {}
        notes: set[str] = set()
        others: list[str] = []
        described, changed = None, 0.0
        for entry in self.entries(self.path(place)):
            name = str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]
            at = seconds_of(entry)
            if entry.get("type") != "file":
                continue
            if NAME.fullmatch(name):
                segments[name] = int(entry["size"])
            elif NOTE.fullmatch(name):
                notes.add(name)
            elif name == KEY_FILE:
                described = at
            elif name.startswith("."):
                others.append(name)
                continue
            changed = max(changed, at)
        return Listing(segments, frozenset(notes), described, changed, tuple(sorted(others)))

    def places(self) -> list[Place]:
        """All of them, in order."""
        found: list[Place] = []
        for stage in self.folders(self.root, STAGE_NAME):
            found += [Place(stage, short) for short in self.folders(f"{self.root}/{stage}", KEY_NAME)]
        return sorted(found, key=lambda place: (place.stage, place.short))

    def folders(self, path: str, name: re.Pattern[str]) -> list[str]:
        names = [str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in self.entries(path)]
        return [found for found in names if name.fullmatch(found)]

    def read(self, place: Place, name: str, most: int) -> bytes:
        """A small object.

        Raises:
            FileNotFoundError: it is gone.
            ValueError: it is larger than `most` bytes.
        """
        content: bytes = self.ask(lambda: self.files.cat_file(self.path(place, name), start=0, end=most + 1))
        if len(content) > most:
            raise ValueError(f"{self.address(place, name)} is longer than anything of its kind")
        return content

    def key(self, place: Place) -> StageKey | None:
        """The key of a place, where it is described there, and by what has that key."""
        with suppress(FileNotFoundError, ValueError):
            name = f"{place}/{KEY_FILE}"
            return checked_key(name, parsed(self.read(place, KEY_FILE, LONGEST_DESCRIPTION), name))
        return None

    def merge(self, place: Place, note: str) -> Merge | None:
        """What a note says, as far as it is still there."""
        with suppress(FileNotFoundError, ValueError):
            return parse_merge(self.read(place, note, LONGEST_NOTE))
        return None

    def fetch(self, place: Place, name: str, to: Path) -> None:
        """An object's content into a file.

        Raises:
            FileNotFoundError: it is gone.
        """
        self.ask(lambda: self.files.get_file(self.path(place, name), str(to)))

    def put(self, place: Place, name: str, content: bytes) -> None:
        """Write an object: it appears when it is whole."""
        path = self.path(place, name)
        if self.protocol in ("file", "local"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(Path(path)) as opened:
                opened.write(content)
        elif self.protocol in WHOLE:
            self.ask(lambda: self.files.pipe_file(path, content))
        else:
            self.ask(lambda: self.put_aside(path, content))

    def put_aside(self, path: str, content: bytes) -> None:
        folder, name = path.rsplit("/", 1)
        aside = f"{folder}/.{name}.{os.getpid()}-{time.monotonic_ns()}"
        self.files.makedirs(folder, exist_ok=True)
        self.files.pipe_file(aside, content)
        self.files.mv(aside, path)

    def describe(self, key: StageKey, there: Listing) -> None:
        """Say in clear what the key is, anew now and then: by its time others see that the key is in use."""
        if there.described is None or time.time() - there.described > A_DAY:
            self.put(Place.of(key), KEY_FILE, key_text(key).encode())

    def remove(self, place: Place, name: str) -> None:
        def call() -> None:
            with suppress(FileNotFoundError):
                self.files.rm_file(self.path(place, name))

        self.ask(call)

    def remove_folder(self, place: Place) -> None:
        """Where folders are things of their own, remove one that is empty."""
        if self.protocol not in WHOLE:
            with suppress(OSError):
                self.files.rmdir(self.path(place))


def seconds_of(entry: dict[str, Any]) -> float:
    """When a thing in a listing changed last, in seconds since 1970."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        found = entry.get(name)
        if isinstance(found, int | float):
            return float(found)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, str):
            with suppress(ValueError):
                return datetime.fromisoformat(found).timestamp()
    return 0.0
