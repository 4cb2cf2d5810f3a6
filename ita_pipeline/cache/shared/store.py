"""A cache on object storage, or on any file system that fsspec supports: the same folders, and immutable objects.

`URL/<stage>/<key>/` contains what a workspace's `.ita/cache/<stage>/<key>/` contains. A segment is put when nothing
more is appended to it, under its name, which no other machine gives. So nothing is overwritten, and no lock is
needed.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ita_pipeline.cache.keys import KEY_FILE, SHORT_KEY_LENGTH, StageKey, format_key, parse_key
from ita_pipeline.cache.lineage import MAX_NOTE_BYTES, NOTE_NAME, Merge, parse_merge
from ita_pipeline.cache.records import SEGMENT_NAME, generation_order
from ita_pipeline.cache.store import ABANDONED_AFTER, KeyUsage
from ita_pipeline.core import remote
from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.files import open_atomically

STAGE_FOLDER = re.compile(r"[a-z][a-z0-9_-]{0,63}")

KEY_FOLDER = re.compile(rf"[0-9a-f]{{{SHORT_KEY_LENGTH}}}")

# Object stores, where an object appears whole or not at all. Elsewhere a file is written aside and renamed.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory"}

# Errors of this machine's disk, not of the shared cache.
LOCAL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Answer = TypeVar("Answer")

# File systems list times as datetimes, ISO texts or seconds.
_TIME = TypeAdapter(datetime)


@dataclass(slots=True)
class FolderListing:
    """The contents of a key's folder: segments with their sizes, merge notes, and unfinished files (`others`).

    `described` is when the key was described, `changed` when any of it changed last, in seconds since 1970.
    """

    segments: dict[str, int] = field(default_factory=dict[str, int])
    notes: set[str] = field(default_factory=set[str])
    described: float | None = None
    changed: float = 0.0
    others: list[str] = field(default_factory=list[str])


class SharedCache:
    """A shared cache. Errors of the connection are raised as its library raises them; see `as_user_errors`."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            UserError: there is no such file system, or a library that it needs is not installed.
        """
        full_url = url if remote.is_url(url) else Path(url).expanduser().absolute().as_uri()
        self.url = remote.without_query(full_url).rstrip("/")
        self._files, root = remote.find_filesystem(full_url)
        self._root = root.rstrip("/")
        if not self._root.strip("/"):
            hint = "name a bucket or a folder: s3://bucket/ita-cache"
            raise UsageError(f"{url} is not a place for a cache", hint)
        self._protocol = remote.protocol_of(full_url)

    def address(self, folder: str, name: str = "") -> str:
        """The address of a folder, or of an object in it, for messages."""
        return f"{self.url}/{folder}/{name}" if name else f"{self.url}/{folder}"

    @contextmanager
    def as_user_errors(self) -> Generator[None]:
        """Turn errors of the connection into errors that users can fix.

        Raises:
            UserError: the cache is not there, does not answer, or may not be read or written.
        """
        try:
            yield
        except Exception as error:  # each file system's library raises its own
            is_local = isinstance(error, OSError) and error.errno in LOCAL_DISK_ERRORS
            is_remote = isinstance(error, OSError) or remote.is_transient(error) or remote.lacks_credentials(error)
            if isinstance(error, UserError) or is_local or not is_remote:
                raise
            raise remote.as_user_error(error, self.url) from error

    def list_folders(self) -> list[str]:
        """List the folders of all keys, in order."""
        folders: list[str] = []
        for stage in filter(STAGE_FOLDER.fullmatch, self._list(self._root)):
            keys = filter(KEY_FOLDER.fullmatch, self._list(f"{self._root}/{stage}"))
            folders += [f"{stage}/{short}" for short in keys]
        return sorted(folders)

    def list_folder(self, folder: str) -> FolderListing:
        """List the contents of a key's folder, which is empty where it does not exist."""
        listing = FolderListing()
        for name, entry in self._list(self._path(folder)).items():
            modified = _modified_at(entry)
            if entry.get("type") != "file":
                continue
            if SEGMENT_NAME.fullmatch(name):
                listing.segments[name] = int(entry["size"])
            elif NOTE_NAME.fullmatch(name):
                listing.notes.add(name)
            elif name == KEY_FILE:
                listing.described = modified
            elif name.startswith("."):
                listing.others.append(name)
                continue
            listing.changed = max(listing.changed, modified)
        return listing

    def read_key(self, folder: str) -> StageKey | None:
        """Read the key of a folder, or return None where its description is missing or not that of the folder."""
        with suppress(FileNotFoundError, ValueError):
            return parse_key(folder, self._read(folder, KEY_FILE, max_bytes=1024 * 1024))
        return None

    def read_merge(self, folder: str, note: str) -> Merge | None:
        """Read a merge note, or return None where it is gone or not valid."""
        with suppress(FileNotFoundError, ValueError):
            return parse_merge(self._read(folder, note, MAX_NOTE_BYTES))
        return None

    def fetch(self, folder: str, name: str, to: Path) -> None:
        """Copy an object to a file.

        Raises:
            FileNotFoundError: the object is gone.
        """
        self._retry(lambda: self._files.get_file(self._path(folder, name), str(to)))

    def put(self, folder: str, name: str, content: bytes) -> None:
        """Write an object, which appears when it is complete."""
        path = self._path(folder, name)
        if self._protocol in ("file", "local"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(Path(path)) as file:
                file.write(content)
        elif self._protocol in OBJECT_STORES:
            self._retry(lambda: self._files.pipe_file(path, content))
        else:
            self._retry(lambda: self._put_aside(path, content))

    def put_key(self, key: StageKey, listing: FolderListing) -> None:
        """Describe a key, and again after a day: the time of the description shows that the key is in use."""
        if listing.described is None or time.time() - listing.described > 24 * 3600:
            self.put(key.folder, KEY_FILE, format_key(key).encode())

    def fetch_segments(self, work: Path) -> Iterator[tuple[Path, str, int]]:
        """Fetch all segments one by one to the folder `work`; yield file, address and size."""
        for folder in self.list_folders():
            for name, size in sorted(self.list_folder(folder).segments.items()):
                with (
                    tempfile.TemporaryDirectory(dir=work) as temporary,
                    suppress(FileNotFoundError),
                ):  # merged since
                    path = Path(temporary) / name
                    self.fetch(folder, name, path)
                    yield path, self.address(folder, name), size

    def list_keys(self) -> list[KeyUsage]:
        """List all keys by stage, the one used last first. Their records are not counted."""
        usages: list[KeyUsage] = []
        for folder in self.list_folders():
            key, listing = self.read_key(folder), self.list_folder(folder)
            if key is not None:
                sizes = listing.segments.values()
                usages.append(KeyUsage(key, Path(folder), None, None, len(sizes), sum(sizes), listing.changed))
        return sorted(usages, key=KeyUsage.order)

    def find_leftovers(self) -> list[Path]:
        """Find the unfinished files of killed processes, relative to the cache."""
        leftovers: list[Path] = []
        for folder in self.list_folders():
            listing = self.list_folder(folder)
            if time.time() - listing.changed > ABANDONED_AFTER:
                leftovers += [Path(folder, name) for name in sorted(listing.others)]
        return leftovers

    def remove_leftover(self, path: Path) -> None:
        """Remove a file that `find_leftovers` found."""
        self.remove(path.parent.as_posix(), path.name)

    def remove_key(self, usage: KeyUsage) -> bool:
        """Remove a key, or return False where it has changed since it was listed."""
        is_unchanged = self.list_folder(usage.key.folder).changed <= usage.used
        if is_unchanged:
            self.remove_folder(usage.key.folder)
        return is_unchanged

    def remove_folder(self, folder: str) -> None:
        """Remove a key. If this is interrupted, no replaced record comes back, and the rest can still be listed."""
        listing = self.list_folder(folder)
        for name in [*sorted(listing.segments, key=generation_order), *sorted(listing.notes), KEY_FILE]:
            self.remove(folder, name)
        if self._protocol not in OBJECT_STORES:  # other file systems keep an empty folder
            with suppress(OSError):
                self._files.rmdir(self._path(folder))

    def remove(self, folder: str, name: str) -> None:
        """Remove an object, if it exists."""
        with suppress(FileNotFoundError):
            self._retry(lambda: self._files.rm_file(self._path(folder, name)))

    def _path(self, folder: str, name: str = "") -> str:
        return f"{self._root}/{folder}/{name}" if name else f"{self._root}/{folder}"

    def _retry(self, call: Callable[[], Answer]) -> Answer:
        return remote.retry(call, remote.RequestLimits(tries=3))

    def _list(self, path: str) -> dict[str, dict[str, Any]]:
        """The current entries of a folder by name, none where it does not exist.

        Raises:
            FileNotFoundError: the bucket does not exist.
        """

        def list_entries() -> list[dict[str, Any]]:
            self._files.invalidate_cache()
            return self._files.ls(path, detail=True)

        try:
            entries = self._retry(list_entries)
        except FileNotFoundError as error:
            if "bucket" in type(error.__cause__).__name__.lower():
                raise
            return {}
        return {str(entry["name"]).rstrip("/").rsplit("/", 1)[-1]: entry for entry in entries}

    def _read(self, folder: str, name: str, max_bytes: int) -> bytes:
        """
        Raises:
            FileNotFoundError: the object is gone.
            ValueError: it is larger than `max_bytes`.
        """
        path = self._path(folder, name)
        content: bytes = self._retry(lambda: self._files.cat_file(path, start=0, end=max_bytes + 1))
        if len(content) > max_bytes:
            raise ValueError(f"{self.address(folder, name)} is longer than anything of its kind")
        return content

    def _put_aside(self, path: str, content: bytes) -> None:
        folder, name = path.rsplit("/", 1)
        aside = f"{folder}/.{name}.{os.getpid()}-{time.monotonic_ns()}"
        self._files.makedirs(folder, exist_ok=True)
        self._files.pipe_file(aside, content)
        self._files.mv(aside, path)


def _modified_at(entry: dict[str, Any]) -> float:
    """When a listed object was last changed, in seconds since 1970."""
    for name in ("LastModified", "mtime", "updated", "last_modified", "created"):
        if entry.get(name) is not None:
            with suppress(ValueError):
                return _TIME.validate_python(entry[name]).timestamp()
    return 0.0
