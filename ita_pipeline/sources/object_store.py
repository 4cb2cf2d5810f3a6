"""Files on other file systems, such as object storage: listed with what tells whether they have changed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from ita_pipeline.core.files import COARSE_SETTLED_SECONDS
from ita_pipeline.core.remote import as_user_error, find_filesystem, retry, summarize_error, without_query
from ita_pipeline.sources.base import Looked, check_size, looked
from stages.base import BadItemError, FailureKind

SECONDS_A_FILE = 120.0

# What tells one content from another, by the names that file systems have for it; then what nearly does.
TAGS = ("ETag", "etag", "md5Hash", "content_md5", "blob_id", "sha256", "generation")

TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")

# Files of this one are objects with a position of their own.
MEMORY = threading.Lock()


@dataclass(frozen=True, slots=True, order=True)
class FarFile:
    """A file by its URL, and how it stood when it was listed."""

    url: str
    listed: str = ""
    length: int = -1

    @property
    def label(self) -> str:
        return without_query(self.url)

    @property
    def name(self) -> str:
        return PurePosixPath(self.label).name

    @property
    def far(self) -> bool:
        return True

    def address(self, here: str) -> bytes:
        return self.label.encode("utf-8", "surrogateescape")

    def stamp(self) -> str:
        return self.listed

    def standing(self) -> str:
        return self.listed or self.now().listed

    def now(self) -> FarFile:
        """
        Raises:
            OSError: it is not there.
        """
        system, path = find_filesystem(self.url)
        return of_info(self.url, retry(lambda: system.info(path)))

    def look(self, most: int, known: str) -> Looked | None:
        try:
            there = self if self.listed else self.now()
        except Exception as error:  # libraries of file systems raise nearly anything
            raise BadItemError(f"cannot be read: {summarize_error(error)}", FailureKind.TRANSIENT) from error
        if known and there.listed == known:
            return None
        return looked(there.listed, there.read(most))

    def read(self, most: int) -> bytes:
        check_size(self.length, most)
        try:
            content = self.part(0, most + 1)
        except Exception as error:  # libraries of file systems raise nearly anything
            raise BadItemError(f"cannot be read: {summarize_error(error)}", FailureKind.TRANSIENT) from error
        check_size(len(content), most)
        return content

    def size(self) -> int:
        return self.length if self.length >= 0 else max(0, self.now().length)

    def part(self, start: int, size: int) -> bytes:
        system, path = find_filesystem(self.url)
        return retry(lambda: fetched(system, path, start, start + size))


def fetched(system: Any, path: str, start: int, end: int) -> bytes:
    """The bytes of a file from `start` to `end`, as far as there are so many, within the time for one file."""
    try:
        if getattr(system, "async_impl", False):
            from fsspec.asyn import sync

            content = sync(system.loop, system._cat_file, path, start=start, end=end, timeout=SECONDS_A_FILE)
        else:
            with ExitStack() as stack:
                if system.protocol == "memory":
                    stack.enter_context(MEMORY)
                content = system.cat_file(path, start=start, end=end)
        return content if isinstance(content, bytes) else bytes(content or b"")
    except OSError as error:
        if error.errno == errno.EINVAL:  # what stores say where nothing lies behind `start`
            return b""
        raise


def far_file(url: str) -> FarFile:
    """A file as it stands now.

    Raises:
        UserError: it is not there, or may not be read.
    """
    find_filesystem(url)[0].invalidate_cache()
    try:
        return FarFile(url).now()
    except Exception as error:
        raise as_user_error(error, url) from error


def files_below(url: str) -> list[FarFile]:
    """Every file below a folder, or the file itself, hidden ones left out, in a stable order.

    Raises:
        UserError: it is not there, or may not be read.
    """
    system, root = find_filesystem(url)
    system.invalidate_cache()
    try:
        found = retry(lambda: system.find(root, detail=True))
    except Exception as error:
        raise as_user_error(error, url) from error
    start = len(root.rstrip("/"))
    return [
        of_info(system.unstrip_protocol(path), info)
        for path, info in sorted(found.items())
        if info.get("type") != "directory" and not hidden(path[start:])
    ]


def hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def of_info(url: str, info: Mapping[str, Any]) -> FarFile:
    size = info.get("size")
    return FarFile(url, stamp_of(info), -1 if size is None else int(size))


def stamp_of(info: Mapping[str, Any]) -> str:
    """What a file system says of a file that changes with its content, or nothing where there is no such thing."""
    for name in TAGS:
        if info.get(name):
            return f"{info.get('size')} {name} {info[name]}"
    for name in TIMES:
        if info.get(name) and settled(info[name]):
            return f"{info.get('size')} {name} {info[name]}"
    return ""


def settled(moment: Any) -> bool:
    """Whether a time lies so far back that a later change would show another one."""
    if isinstance(moment, str):
        return True  # in the words of the file system; a change within a second of it would go unseen
    if isinstance(moment, datetime):
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    now = datetime.now(UTC).timestamp()
    return isinstance(moment, int | float) and abs(now - moment) > COARSE_SETTLED_SECONDS
