"""Identify images by content, and keep copies of fetched ones. An image's key is the sha256 of its bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.decode import MAX_BYTES
from ita_pipeline.sources.refs import ImageRef, Stamped, Unreadable
from stages.base import BadItemError
from stages.batching import batched

MAX_COPIED_BYTES = 2 * 1024**3


class KnownFiles(Protocol):
    """Keys of files that were read before, so that unchanged files are not read again.

    `cache.manifest.Manifest` implements it. Reading and writing never raise.
    """

    def get(self, paths: Sequence[bytes]) -> Mapping[bytes, Stamped]:
        """Return the recorded stamp and key of each known file, by its address."""
        ...

    def put(self, files: Iterable[Stamped]) -> None:
        """Record these files."""

    def archive(self, address: bytes, stamp: str) -> str | None:
        """Return the contents recorded by `note_archive`, if the archive still has this stamp."""
        ...

    def note_archive(self, address: bytes, stamp: str, contents: str) -> None:
        """Record the contents of an archive."""


class DownloadCache(AbstractContextManager["DownloadCache"]):
    """A temporary folder of fetched images, kept during a run so that no stage fetches an image again.

    It is removed at the end. Once it is full, no more copies are kept.
    """

    def __init__(self, max_bytes: int = MAX_COPIED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, key: str, content: bytes) -> Path | None:
        """Write a copy, and return its path; None if there is no space for it."""
        with self._lock:
            folder = self._open_folder()
            if self._bytes + len(content) > self._max_bytes:
                return None
            self._bytes += len(content)
        with suppress(OSError):  # the disk is full
            temporary = folder / f"{key}.{threading.get_ident()}"
            temporary.write_bytes(content)
            return temporary.replace(folder / key)
        return None

    def _open_folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ita-spool-")
            free = shutil.disk_usage(self._folder.name).free
            self._max_bytes = min(self._max_bytes, free // 4)  # other programs need the disk too
        return Path(self._folder.name)

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def identify(
    sources: Iterable[ImageSource],
    known_files: KnownFiles,
    max_bytes: int = MAX_BYTES,
    download_cache: DownloadCache | None = None,
    on_fetched: Callable[[int], None] | None = None,
) -> Iterator[ImageRef | Unreadable]:
    """Yield a reference to each image, in order. A file with a known stamp is not read again.

    The `download_cache` keeps images that were fetched from elsewhere. `on_fetched` is called after every batch of
    such images with their number.
    """
    fetch = partial(_fetch, max_bytes=max_bytes, download_cache=download_cache)
    local_threads = min(8, (os.cpu_count() or 1) * 2)
    with ThreadPoolExecutor(local_threads) as readers, ThreadPoolExecutor(16) as fetchers:
        for batch in batched(sources, 10_000):
            entries = _compare_stamps(batch, known_files)
            unknown = [entry for entry in entries if entry.image is None]
            local = [entry for entry in unknown if not entry.source.is_remote]
            known_files.put(list(filter(None, readers.map(fetch, local))))
            # Fetching is expensive, so fetched images are recorded often.
            for remote in batched((entry for entry in unknown if entry.source.is_remote), 256):
                known_files.put(list(filter(None, fetchers.map(fetch, remote))))
                if on_fetched is not None:
                    on_fetched(len(remote))
            yield from (entry.image for entry in entries if entry.image is not None)


@dataclass(slots=True)
class _Entry:
    """A source with its record in the manifest, which is empty if it has none, and its image once that is known."""

    source: ImageSource
    record: Stamped
    image: ImageRef | Unreadable | None = None


def _compare_stamps(sources: Sequence[ImageSource], known_files: KnownFiles) -> list[_Entry]:
    folder = os.getcwd()  # noqa: PTH109 (a string is needed)
    addresses = [source.address(folder) for source in sources]
    known = known_files.get(addresses)
    entries: list[_Entry] = []
    for source, address in zip(sources, addresses, strict=True):
        record = known.get(address) or Stamped(address, "", "")
        is_unchanged = record.stamp != "" and source.stamp() == record.stamp
        image = ImageRef(record.key, source, record.before) if is_unchanged else None
        entries.append(_Entry(source, record, image))
    return entries


def _fetch(entry: _Entry, max_bytes: int, download_cache: DownloadCache | None) -> Stamped | None:
    """Set the image of an entry, and return what to record; None if its source has not changed."""
    source, record = entry.source, entry.record
    try:
        fetched = source.fetch_if_changed(max_bytes, record.stamp)
    except BadItemError as error:
        entry.image = Unreadable(source, error.failure.reason)
        return None
    if fetched is None:
        entry.image = ImageRef(record.key, source, record.before)
        return None
    before = record.key if record.key != fetched.key else record.before
    copy = None
    if download_cache is not None and fetched.content is not None:
        copy = download_cache.add(fetched.key, fetched.content)
    entry.image = ImageRef(fetched.key, source, before, copy)
    return Stamped(record.path, fetched.stamp, fetched.key, before)
