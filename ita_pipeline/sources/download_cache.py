"""Copies of fetched images, kept on disk during a run so that no stage fetches an image again."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 2 * 1024**3


class DownloadCache:
    """A temporary folder of image copies, removed at the end. Once it is full, no more copies are kept."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
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
            partial = folder / f"{key}.{threading.get_ident()}"
            partial.write_bytes(content)
            return partial.replace(folder / key)
        return None

    def _open_folder(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="ita-spool-")
            free = shutil.disk_usage(self._folder.name).free
            self._max_bytes = min(self._max_bytes, free // 4)  # other programs need the disk too
        return Path(self._folder.name)

    def __enter__(self) -> DownloadCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()
