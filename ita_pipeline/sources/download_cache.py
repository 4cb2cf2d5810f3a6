"""Copies of fetched images, kept on disk during a run so that no stage fetches an image again."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from ita_pipeline.sources.base import Fetched, ImageSource, check_size

MAX_BYTES = 2 * 1024**3

# Other programs need the disk too.
_MAX_SHARE_OF_FREE_SPACE = 1 / 4


@dataclass(frozen=True, slots=True)
class CachedCopy(ImageSource):
    """A source with a copy on disk. Where the copy is missing, as on another machine, the source is read."""

    source: ImageSource
    copy: Path

    @property
    @override
    def label(self) -> str:
        return self.source.label

    @property
    @override
    def name(self) -> str:
        return self.source.name

    @override
    def address(self, folder: str) -> bytes:
        return self.source.address(folder)

    @property
    @override
    def is_remote(self) -> bool:
        return self.source.is_remote

    @override
    def stamp(self) -> str:
        return self.source.stamp()

    @override
    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched | None:
        return self.source.fetch_if_changed(max_bytes, known_stamp)

    @override
    def read(self, max_bytes: int) -> bytes:
        try:
            check_size(self.copy.stat().st_size, max_bytes)
            return self.copy.read_bytes()
        except OSError:
            return self.source.read(max_bytes)


class DownloadCache:
    """A temporary folder of image copies, removed at the end. Once it is full, no more copies are kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def add(self, source: ImageSource, key: str, content: bytes) -> ImageSource:
        """Return the source with a copy, or the source itself if there is no space for a copy."""
        with self._lock:
            folder = self._open_folder()
            if self._bytes + len(content) > self._max_bytes:
                return source
            self._bytes += len(content)
        copy = folder / key
        with suppress(OSError):  # the disk is full
            partial = folder / f"{key}.{threading.get_ident()}"
            partial.write_bytes(content)
            partial.replace(copy)
            return CachedCopy(source, copy)
        return source

    def _open_folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ita-spool-")
            free = shutil.disk_usage(self._folder.name).free
            self._max_bytes = min(self._max_bytes, int(free * _MAX_SHARE_OF_FREE_SPACE))
        return Path(self._folder.name)

    def __enter__(self) -> DownloadCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()
