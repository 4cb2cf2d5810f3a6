"""A run beside a shared cache: what is there is fetched before a plan, what was computed is put as it comes.

The shared cache is not waited for while stages work, and nothing that goes wrong there stops them: what could not
be put stays here, and the next run puts it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.shared.maintenance import merge_small_segments
from ita_pipeline.cache.shared.store import LOCAL_DISK_ERRORS, FolderListing, KeyFolder, SharedCache
from ita_pipeline.cache.shared.sync import SharingOutcome, Transfer, pull, push, put_segment
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core import remote
from ita_pipeline.core.errors import UserError
from ita_pipeline.engines.base import Interrupted
from ita_pipeline.extraction.options import Options
from stages.base import Stage

logger = logging.getLogger(__name__)

# In a long run others see what was computed after so many seconds at the latest.
OLDEST = 300.0

# After a put that failed, what comes within so many seconds waits for the end of the run.
PAUSE = 60.0


class CacheSession:
    """A workspace's store and, where one is set, the shared cache beside it; to be used with `with`.

    With `puts` false, as for a plan that nobody carries out, nothing is put. How it ended is in `outcome` then.
    """

    def __init__(self, options: Options, puts: bool = True) -> None:
        """
        Raises:
            UserError: there is no such file system, or what it takes is not installed.
        """
        self.shared = SharedCache(options.shared) if options.shared else None
        self.store = Store(Workspace(options.workspace).store.root, self if self.shared else None)
        self.putter = Uploader(self.shared) if self.shared and puts else None
        self.asked: set[str] = set()
        self.owed: dict[str, StageKey] = {}
        self.trouble = ""
        self.damaged: list[str] = []

    @property
    def max_segment_age(self) -> float:
        return OLDEST

    @property
    def outcome(self) -> SharingOutcome:
        return SharingOutcome(self.trouble, tuple(self.damaged))

    def __enter__(self) -> CacheSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put what is not there yet, also where a run failed or was asked to stop; not where it stops at once."""
        at_once = isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted)
        if self.shared is not None and self.putter is not None and not (at_once or isinstance(error, UserError)):
            self.putter.finish()
            self.put_rest(self.shared)

    def fetch(self, store: Store, stage: Stage[Any], key: StageKey) -> None:
        """Fetch what the store lacks under a key; once in a run, and not at all where there is no answer.

        Raises:
            UserError: there is no such place, or nobody may read it.
            OSError: there is no room here for what is there.
        """
        if self.shared is None or key.hexdigest in self.asked:
            return
        self.asked.add(key.hexdigest)
        if self.trouble:
            self.owed[key.hexdigest] = key
            return
        try:
            moved = pull(store, self.shared, key, stage)
        except Exception as error:  # each file system's library has its own
            if isinstance(error, OSError) and error.errno in LOCAL_DISK_ERRORS:
                raise
            if isinstance(error, UserError) or not remote.is_transient(error):
                raise remote.as_user_error(error, self.shared.url) from error
            self.owed[key.hexdigest] = key
            self.trouble = remote.summarize_error(error)
            line = f"the shared cache {self.shared.url} does not answer ({self.trouble})"
            logger.warning(f"{line}: going on with what is here")
            return
        if moved.owed:
            self.owed[key.hexdigest] = key
        self.tell(moved, key, "fetched", self.shared)

    def on_segment_closed(self, key: StageKey, segment: Path) -> None:
        """Put a segment when there is time; at the end at the latest."""
        self.owed[key.hexdigest] = key
        if self.putter is not None:
            self.putter.add(key, segment)

    def owes(self, keys: Iterable[StageKey]) -> None:
        """Look at the end whether what is here under these keys is there too."""
        self.owed |= {key.hexdigest: key for key in keys}

    def put_rest(self, shared: SharedCache) -> None:
        self.trouble, total = "", self.putter.moved if self.putter else Transfer()
        try:
            for key in self.owed.values():
                moved = push(self.store, shared, key)
                self.damaged += [place_of(*found) for found in moved.damaged]
                total += moved
                if moved.is_crowded:
                    merge_small_segments(shared, key, self.store.root)
        except Exception as error:  # each file system's library has its own
            found = remote.as_user_error(error, shared.url)
            self.trouble = str(found)
            logger.warning(
                f"not everything is in the shared cache: {found}; it is kept here, and the next run, or "
                "ita cache push, puts it"
            )
        if total.segments:
            logger.info(f"put {total.segments} segments, {total.size / 1e6:.2f} MB, to {shared.url}")

    def tell(self, moved: Transfer, key: StageKey, what: str, shared: SharedCache) -> None:
        if moved.segments:
            size = f"{moved.size / 1e6:.2f} MB"
            logger.info(f"{key.stage}: {what} {moved.segments} segments, {size}, from {shared.url}")
        for found in moved.damaged:
            self.damaged.append(place_of(*found))
            logger.warning(f"damaged, and left out: {self.damaged[-1]}")


def place_of(address: str, line: int) -> str:
    return f"{address}, line {line}" if line else f"{address}, whose end is missing"


class Uploader:
    """Puts segments in a thread of its own, so that nobody waits for a network while stages work."""

    def __init__(self, shared: SharedCache) -> None:
        self.shared = shared
        self.waiting: queue.SimpleQueue[tuple[StageKey, Path] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.described: set[str] = set()
        self.moved = Transfer()
        self.rest_until = 0.0

    def add(self, key: StageKey, segment: Path) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, daemon=True)
            self.thread.start()
        self.waiting.put((key, segment))

    def work(self) -> None:
        while (found := self.waiting.get()) is not None:
            if time.monotonic() >= self.rest_until:
                try:
                    self.put(*found)
                except Exception:  # whatever it was: at the end it is tried again, and told
                    self.rest_until = time.monotonic() + PAUSE

    def put(self, key: StageKey, segment: Path) -> None:
        if key.hexdigest not in self.described:
            self.shared.put_key(key, FolderListing())
            self.described.add(key.hexdigest)
        self.moved += put_segment(self.shared, KeyFolder.of(key), segment)

    def finish(self) -> None:
        """Wait for what is under way; Ctrl-C ends that."""
        self.waiting.put(None)
        while self.thread is not None and self.thread.is_alive():
            self.thread.join(0.1)
