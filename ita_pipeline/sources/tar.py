"""Pictures in .tar archives, WebDataset shards among them, read where they lie: nothing is unpacked."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.remote import summarize_error
from ita_pipeline.sources.base import File, Looked, check_size, looked, opened
from stages.base import BadItemError, FailureKind

# Headers are read from the archive this many bytes at once, and no header may have more.
BUFFERED_NEAR, BUFFERED_FAR = 4096, 256 * 1024

MOST_IN_HEADER = 1024 * 1024

MOST_MEMBERS_HELD = 1000


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: `size` bytes from `offset`. `reason` says why it cannot be read, where it cannot."""

    archive: File
    path: str
    offset: int
    size: int
    archive_stamp: str
    reason: str = ""

    @property
    def label(self) -> str:
        return f"{self.archive.label}::{self.path}"

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def far(self) -> bool:
        return self.archive.far

    def address(self, here: str) -> bytes:
        return b"part:%b#%d+%d" % (self.archive.address(here), self.offset, self.size)

    def stamp(self) -> str:
        return self.archive_stamp

    def look(self, most: int, known: str) -> Looked:
        found = looked(self.archive_stamp, self.read(most))
        return found if self.far else Looked(found.stamp, found.key)

    def read(self, most: int) -> bytes:
        if self.reason:
            raise BadItemError(self.reason)
        check_size(self.size, most)
        try:
            content = self.archive.part(self.offset, self.size)
        except Exception as error:  # libraries of file systems raise nearly anything
            raise BadItemError(f"cannot be read: {summarize_error(error)}", FailureKind.TRANSIENT) from error
        if len(content) != self.size:
            raise BadItemError("the archive ends in the middle of it", FailureKind.TRANSIENT)
        return content


class Careful(io.RawIOBase):
    """What `tarfile` reads an archive through: it may seek anywhere, but take only what a header may have."""

    def __init__(self, file: File) -> None:
        self.inside = opened(file, BUFFERED_FAR if file.far else BUFFERED_NEAR)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_IN_HEADER:
            raise tarfile.ReadError("a header of more than a megabyte")
        return self.inside.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.inside.seek(offset, whence)

    def tell(self) -> int:
        return self.inside.tell()


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of an archive in its order, and what is wrong with it behind them, if anything."""

    members: tuple[Member, ...]
    damage: str = ""


def contents(archive: File, stamp: str) -> Contents:
    """What is in an archive, hidden files left out; links and files with holes have a reason.

    Raises:
        UsageError: it is no such archive.
        OSError: it cannot be read.
    """
    found: list[Member] = []
    end = archive.size()
    try:
        inside = tarfile.TarFile(fileobj=Careful(archive), mode="r", errorlevel=0)
        found.extend(walked(inside, archive, stamp, end))
    except OSError:
        raise
    except Exception as error:  # readers raise nearly anything on damaged data
        damage = f"the archive is damaged: {summarize_error(error)}"
        if found:
            return Contents(tuple(found), damage)
        hint = "a .tar that is not compressed; a .tar.gz has to be unpacked to .tar first"
        raise UsageError(f"{archive.label} is no archive, or damaged: {summarize_error(error)}", hint) from error
    return Contents(tuple(found))


def written(found: Contents) -> str:
    """The contents as JSON, but for what is the same in all of them."""
    return json.dumps([[member.path, member.offset, member.size, member.reason] for member in found.members])


def read_back(text: str, archive: File, stamp: str) -> Contents:
    return Contents(
        tuple(Member(archive, path, offset, size, stamp, reason) for path, offset, size, reason in json.loads(text))
    )


def walked(inside: tarfile.TarFile, archive: File, stamp: str, end: int) -> Iterator[Member]:
    before, held = -1, vars(inside)["members"]
    while (found := inside.next()) is not None:
        if inside.offset <= before:
            raise tarfile.ReadError("a header that leads back")
        before = inside.offset
        if len(held) > MOST_MEMBERS_HELD:
            held.clear()
        if found.isdir() or any(part.startswith(".") and part not in (".", "..") for part in found.name.split("/")):
            continue
        yield Member(archive, found.name, found.offset_data, found.size, stamp, reason_of(found, end))
    check_end(inside, archive, end)


def reason_of(found: tarfile.TarInfo, end: int) -> str:
    if found.issparse():
        return "a file with holes, which is not read from an archive"
    if found.islnk() or found.issym():
        return "a link, which is not followed in an archive"
    if not found.isreg():
        return "not a regular file"
    if found.size < 0 or found.offset_data + found.size > end:
        return "the archive ends in the middle of it"
    return ""


def check_end(inside: tarfile.TarFile, archive: File, end: int) -> None:
    """`tarfile` takes a bad header for the end, which are blocks of zeros, or that of the file."""
    at = min(inside.offset, end)
    rest = archive.part(at, min(tarfile.BLOCKSIZE, end - at))
    if rest.strip(b"\0"):
        raise tarfile.ReadError(f"what stands at byte {at} is no header")


def is_archive(name: str) -> bool:
    return name.lower().endswith(".tar")
