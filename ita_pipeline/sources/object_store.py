"""Image source: files on other file systems, such as object storage, listed with stamps."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ita_pipeline.core.files import COARSE_SETTLED_SECONDS
from ita_pipeline.core.remote import RequestLimits, as_user_error, find_filesystem, retry, without_query
from ita_pipeline.sources.base import Fetched, RandomAccessFile, check_size, report_bad_item

# Names that file systems give to the tag of a content, best first, and to the time of a change.
_TAG_NAMES = ("ETag", "etag", "md5Hash", "content_md5", "blob_id", "sha256", "generation")

_TIME_NAMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")

# Files in memory share one position for all readers.
_MEMORY_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, order=True)
class RemoteFile(RandomAccessFile):
    """A file by its URL, with its stamp and size from a listing."""

    url: str
    listed_stamp: str = ""
    listed_size: int = -1
    limits: RequestLimits = field(default=RequestLimits(), repr=False, compare=False)

    @property
    def label(self) -> str:
        """Implement `ImageSource.label`."""
        return without_query(self.url)

    def stamp(self) -> str:
        """Implement `ImageSource.stamp`."""
        return self.listed_stamp

    def current_stamp(self) -> str:
        """Implement `RandomAccessFile.current_stamp`."""
        return self.listed_stamp or self.examine().listed_stamp

    def examine(self) -> RemoteFile:
        """Return the file with its current stamp and size.

        Raises:
            OSError: the file is missing.
        """
        system, path = find_filesystem(self.url)
        return _with_info(self, retry(lambda: system.info(path, **self._timeout(system)), self.limits))

    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched | None:
        """Implement `ImageSource.fetch_if_changed`."""
        with report_bad_item("cannot be read"):
            file = self if self.listed_stamp else self.examine()
        if known_stamp and file.listed_stamp == known_stamp:
            return None
        return Fetched.from_content(file.listed_stamp, file.read(max_bytes))

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        check_size(self.listed_size, max_bytes)
        with report_bad_item("cannot be read"):
            content = self.read_range(0, max_bytes + 1)
        check_size(len(content), max_bytes)
        return content

    def size(self) -> int:
        """Implement `RandomAccessFile.size`."""
        return self.listed_size if self.listed_size >= 0 else max(0, self.examine().listed_size)

    def read_range(self, start: int, size: int) -> bytes:
        """Implement `RandomAccessFile.read_range`."""
        system, path = find_filesystem(self.url)
        timeout = self._timeout(system)
        lock = _MEMORY_LOCK if system.protocol == "memory" else nullcontext()

        def read() -> bytes:
            try:
                with lock:
                    return bytes(system.cat_file(path, start=start, end=start + size, **timeout) or b"")
            except OSError as error:
                if error.errno == errno.EINVAL:  # some stores refuse a range behind the end
                    return b""
                raise

        return retry(read, self.limits)

    def _timeout(self, system: object) -> dict[str, float]:
        """Return the argument that limits the time of a whole call, if the file system accepts it."""
        return {"timeout": self.limits.file_seconds} if getattr(system, "async_impl", False) else {}


def examine_file(url: str) -> RemoteFile:
    """Return a file with its current stamp and size.

    Raises:
        UserError: the file is missing, or access is denied.
    """
    find_filesystem(url)[0].invalidate_cache()
    try:
        return RemoteFile(url).examine()
    except Exception as error:
        raise as_user_error(error, url) from error


def list_files(url: str) -> list[RemoteFile]:
    """List every file below a folder, or the file itself, without hidden files, in a stable order.

    Raises:
        UserError: the folder is missing, or access is denied.
    """
    system, root = find_filesystem(url)
    system.invalidate_cache()
    try:
        infos = retry(lambda: system.find(root, detail=True))
    except Exception as error:
        raise as_user_error(error, url) from error
    start = len(root.rstrip("/"))
    return [
        _with_info(RemoteFile(system.unstrip_protocol(path)), info)
        for path, info in sorted(infos.items())
        if info.get("type") != "directory" and not any(part.startswith(".") for part in path[start:].split("/"))
    ]


def _with_info(file: RemoteFile, info: Mapping[str, Any]) -> RemoteFile:
    size = info.get("size")
    return replace(file, listed_stamp=info_stamp(info), listed_size=-1 if size is None else int(size))


def info_stamp(info: Mapping[str, Any]) -> str:
    """Return a stamp that changes with the file's content, or an empty string if the file system has none."""
    for name in (*_TAG_NAMES, *_TIME_NAMES):
        if info.get(name) and (name in _TAG_NAMES or _is_settled(info[name])):
            return f"{info.get('size')} {name} {info[name]}"
    return ""


def _is_settled(changed: object) -> bool:
    """Whether a time is so long ago that a later change has another time."""
    if isinstance(changed, str):
        return True  # in a format of the file system's own; a change within the same second stays unnoticed
    if isinstance(changed, datetime):
        changed = changed.replace(tzinfo=changed.tzinfo or UTC).timestamp()
    now = datetime.now(UTC).timestamp()
    return isinstance(changed, int | float) and abs(now - changed) > COARSE_SETTLED_SECONDS
