"""A run with a shared cache: records are downloaded before planning, and new segments are uploaded as they come.

Stages do not wait for the shared cache, and its errors do not stop them: what could not be uploaded stays in the
local store, and the next run uploads it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ita_pipeline.cache.compaction import merge_small_objects
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.shared.store import LOCAL_DISK_ERRORS, FolderListing, SharedCache
from ita_pipeline.cache.shared.sync import Transfer, pull, push, put_segment
from ita_pipeline.cache.store import Store, Workspace
from ita_pipeline.core import remote
from ita_pipeline.core.errors import UserError
from ita_pipeline.core.text import format_count
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.extraction.options import Options
from stages.base import Stage

logger = logging.getLogger(__name__)

# In a long run, a segment is closed and uploaded after this time at the latest.
MAX_SEGMENT_SECONDS = 300.0

# After a failed upload, segments of this time are uploaded at the end of the run.
PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SharingOutcome:
    """The outcome of a run for its shared cache: why records were not uploaded, and the damaged objects in it."""

    trouble: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything was put and nothing is damaged."""
        return not self.trouble and not self.damaged


class CacheSession:
    """A context manager for a workspace's store and, if one is set, the shared cache; `outcome` is valid after it.

    Without `uploads`, as for a plan that is not run, nothing is uploaded.
    """

    def __init__(
        self, options: Options, uploads: bool = True, max_segment_seconds: float = MAX_SEGMENT_SECONDS
    ) -> None:
        """Open the store.

        Raises:
            UserError: the file system of the shared cache is unknown, or its package is not installed.
        """
        self.shared = SharedCache(options.shared) if options.shared else None
        self.store = Store(Workspace(options.workspace).store.root, self if self.shared else None)
        self.uploader = Uploader(self.shared) if self.shared and uploads else None
        self.max_segment_age = max_segment_seconds
        self.requested: set[str] = set()
        self.pending: dict[str, StageKey] = {}
        self.trouble = ""
        self.damaged: list[str] = []

    @property
    def outcome(self) -> SharingOutcome:
        """What went wrong with the shared cache."""
        return SharingOutcome(self.trouble, tuple(self.damaged))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Upload what is missing, unless the run stops immediately or with a `UserError`."""
        is_immediate = isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted)
        if is_immediate or isinstance(error, UserError):
            return
        if self.uploader is not None:
            self.uploader.finish()
            self._upload_pending(self.uploader)

    def fetch(self, store: Store, stage: Stage[Any], key: StageKey) -> None:
        """Download the missing records of a key; once per run, and not after the shared cache failed to answer.

        Raises:
            UserError: the shared cache does not exist, or access is denied.
            OSError: the local disk is full.
        """
        if self.shared is None or key.hexdigest in self.requested:
            return
        self.requested.add(key.hexdigest)
        if self.trouble:
            self.pending[key.hexdigest] = key
            return
        try:
            moved = pull(store, self.shared, key, stage)
        except Exception as error:  # each file system's library has its own exceptions
            if isinstance(error, OSError) and error.errno in LOCAL_DISK_ERRORS:
                raise
            if isinstance(error, UserError) or not remote.is_transient(error):
                raise remote.as_user_error(error, self.shared.url) from error
            self.pending[key.hexdigest] = key
            self.trouble = remote.summarize_error(error)
            line = f"the shared cache {self.shared.url} does not respond ({self.trouble})"
            logger.warning(f"{line}: continuing with the local records")
            return
        if moved.owed:
            self.pending[key.hexdigest] = key
        if moved.segments:
            logger.info(f"{key.stage}: downloaded {_format_size(moved)}, from {self.shared.url}")
        for record in moved.damaged:
            self.damaged.append(format_damage(*record))
            logger.warning(f"skipped a damaged record: {self.damaged[-1]}")

    def on_segment_closed(self, key: StageKey, segment: Path) -> None:
        """Upload a closed segment in the background, or at the end of the run."""
        self.pending[key.hexdigest] = key
        if self.uploader is not None:
            self.uploader.add(key, segment)

    def upload_at_end(self, keys: Iterable[StageKey]) -> None:
        """Upload the missing segments of these keys at the end of the run."""
        self.pending |= {key.hexdigest: key for key in keys}

    def _upload_pending(self, uploader: Uploader) -> None:
        shared, total = uploader.shared, uploader.moved
        self.trouble = ""
        try:
            for key in self.pending.values():
                moved = push(self.store, shared, key)
                self.damaged += [format_damage(*record) for record in moved.damaged]
                total += moved
                if moved.is_crowded:
                    merge_small_objects(shared, key, self.store.root)
        except Exception as error:  # each file system's library has its own exceptions
            self.trouble = str(remote.as_user_error(error, shared.url))
            logger.warning(
                f"not all records were uploaded to the shared cache: {self.trouble}; the next run, or ita cache "
                "push, uploads the rest"
            )
        if total.segments:
            logger.info(f"uploaded {_format_size(total)}, to {shared.url}")


def _format_size(moved: Transfer) -> str:
    return f"{format_count(moved.segments, 'segment')}, {moved.size / 1e6:.2f} MB"


def format_damage(address: str, line: int) -> str:
    """The address and line of a damaged record."""
    return f"{address}, line {line}" if line else f"{address}, incomplete"


class Uploader:
    """Uploads segments in a thread of its own, so that stages do not wait for the network."""

    def __init__(self, shared: SharedCache) -> None:
        self.shared = shared
        self.queue: queue.SimpleQueue[tuple[StageKey, Path] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.described: set[str] = set()
        self.moved = Transfer()
        self.paused_until = 0.0

    def add(self, key: StageKey, segment: Path) -> None:
        """Upload a segment when its turn comes."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()
        self.queue.put((key, segment))

    def _run(self) -> None:
        while (entry := self.queue.get()) is not None:
            if time.monotonic() >= self.paused_until:
                try:
                    self._upload(*entry)
                except Exception:  # the upload is tried again at the end of the run, and that error is reported
                    self.paused_until = time.monotonic() + PAUSE_SECONDS

    def _upload(self, key: StageKey, segment: Path) -> None:
        if key.hexdigest not in self.described:
            self.shared.put_key(key, FolderListing())
            self.described.add(key.hexdigest)
        self.moved += put_segment(self.shared, key.folder, segment)

    def finish(self) -> None:
        """Wait until the queue is empty; Ctrl-C stops waiting."""
        self.queue.put(None)
        while self.thread is not None and self.thread.is_alive():
            self.thread.join(0.1)
