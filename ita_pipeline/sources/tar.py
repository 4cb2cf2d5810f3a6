"""Image source: members of tar archives, such as WebDataset shards, read in place without unpacking."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.remote import summarize_error
from ita_pipeline.sources.base import ContainedImage, RandomAccessFile, RangeReader, check_size, report_bad_item
from stages.base import BadItemError, FailureKind


@dataclass(frozen=True, slots=True)
class Member(ContainedImage):
    """A file in an archive: `size` bytes from `offset`. A `reason` explains why it cannot be read."""

    path: str
    offset: int
    size: int
    reason: str = ""

    @property
    def label(self) -> str:
        """Implement `ImageSource.label`."""
        return f"{self.container.label}::{self.path}"

    @property
    def name(self) -> str:
        """Implement `ImageSource.name`."""
        return PurePosixPath(self.path).name

    def address(self, folder: str) -> bytes:
        """Implement `ImageSource.address`."""
        return b"part:%b#%d+%d" % (self.container.address(folder), self.offset, self.size)

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        if self.reason:
            raise BadItemError(self.reason)
        check_size(self.size, max_bytes)
        with report_bad_item("cannot be read"):
            content = self.container.read_range(self.offset, self.size)
        if len(content) != self.size:
            raise BadItemError("the archive ends in the middle of it", FailureKind.TRANSIENT)
        return content


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """The files of an archive in its order, and the damage that follows them, if any."""

    members: tuple[Member, ...]
    damage: str = ""

    def to_json(self) -> str:
        """Return the contents as JSON, without what all members share."""
        return json.dumps([[member.path, member.offset, member.size, member.reason] for member in self.members])

    @classmethod
    def from_json(cls, text: str, archive: RandomAccessFile, stamp: str) -> ArchiveContents:
        """Restore the contents of an archive from `to_json`."""
        return cls(tuple(Member(archive, stamp, *member) for member in json.loads(text)))


class HeaderReader(io.BufferedReader):
    """A stream over an archive for `tarfile`. It seeks anywhere and refuses headers of more than a megabyte."""

    def __init__(self, file: RandomAccessFile) -> None:
        super().__init__(RangeReader(file), 256 * 1024 if file.is_remote else 4096)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a header."""
        if size is None or not 0 <= size <= 1024 * 1024:
            raise tarfile.ReadError("a header of more than a megabyte")
        return super().read(size)


def is_archive(name: str) -> bool:
    """Whether a file name is that of an archive."""
    return name.lower().endswith(".tar")


def list_archive(archive: RandomAccessFile, stamp: str, max_members_held: int = 1000) -> ArchiveContents:
    """List the files in an archive, without hidden files. Links and sparse files have a `reason`.

    `tarfile` keeps every member in memory; more than `max_members_held` are dropped.

    Raises:
        UsageError: the file is not such an archive.
        OSError: the archive cannot be read.
    """
    members: list[Member] = []
    size = archive.size()
    try:
        opened = tarfile.TarFile(fileobj=HeaderReader(archive), mode="r", errorlevel=0)
        for info in _read_headers(opened, max_members_held):
            if not (info.isdir() or _is_hidden(info.name)):
                reason = _unreadable_reason(info, size)
                members.append(Member(archive, stamp, info.name, info.offset_data, info.size, reason))
        _check_end(opened, archive, size)
    except OSError:
        raise
    except Exception as error:  # readers raise anything on damaged data
        if members:
            return ArchiveContents(tuple(members), f"the archive is damaged: {summarize_error(error)}")
        hint = "a .tar that is not compressed; a .tar.gz has to be unpacked to .tar first"
        raise UsageError(
            f"{archive.label} is not a tar archive, or is damaged: {summarize_error(error)}", hint
        ) from error
    return ArchiveContents(tuple(members))


def _read_headers(archive: tarfile.TarFile, max_members_held: int) -> Iterator[tarfile.TarInfo]:
    previous, held = -1, vars(archive)["members"]
    while (info := archive.next()) is not None:
        if archive.offset <= previous:
            raise tarfile.ReadError("a header that leads back")
        previous = archive.offset
        if len(held) > max_members_held:
            held.clear()
        yield info


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def _unreadable_reason(info: tarfile.TarInfo, archive_size: int) -> str:
    if info.issparse():
        return "a file with holes, which is not read from an archive"
    if info.islnk() or info.issym():
        return "a link, which is not followed in an archive"
    if not info.isreg():
        return "not a regular file"
    if info.size < 0 or info.offset_data + info.size > archive_size:
        return "the archive ends in the middle of it"
    return ""


def _check_end(opened: tarfile.TarFile, archive: RandomAccessFile, size: int) -> None:
    """Refuse an archive that ends in neither zeros nor the end of the file: `tarfile` stops at a damaged header."""
    offset = min(opened.offset, size)
    block = archive.read_range(offset, min(tarfile.BLOCKSIZE, size - offset))
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"what stands at byte {offset} is no header")
