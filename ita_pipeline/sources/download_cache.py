"""Pictures fetched from other machines, kept on disk for as long as a run, so that no stage fetches them again."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.sources.base import Looked, Place, check_size

MOST_BYTES = 2 * 1024**3

# Somebody else may need the disk too.
SHARE_OF_ROOM = 1 / 4


@dataclass(frozen=True, slots=True)
class Kept:
    """A place of which a copy lies in the spool. Where the copy is gone, as on another machine, it is fetched."""

    place: Place
    copy: Path

    @property
    def label(self) -> str:
        return self.place.label

    @property
    def name(self) -> str:
        return self.place.name

    def address(self, here: str) -> bytes:
        return self.place.address(here)

    @property
    def far(self) -> bool:
        return self.place.far

    def stamp(self) -> str:
        return self.place.stamp()

    def look(self, most: int, known: str) -> Looked | None:
        return self.place.look(most, known)

    def read(self, most: int) -> bytes:
        try:
            check_size(self.copy.stat().st_size, most)
            return self.copy.read_bytes()
        except OSError:
            return self.place.read(most)


class Spool:
    """A folder among the temporary ones, removed at the end. What comes when it is full is not kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self.lock = threading.Lock()
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def keep(self, place: Place, key: str, content: bytes) -> Place:
        """The place with a copy where there is room for one."""
        with self.lock:
            folder = self.made()
            copy = folder / key
            if self.bytes + len(content) > self.most_bytes:
                return place
            self.bytes += len(content)
        with suppress(OSError):  # a full disk
            making = folder / f"{key}.{threading.get_ident()}"
            making.write_bytes(content)
            making.replace(copy)
            return Kept(place, copy)
        return place

    def made(self) -> Path:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix="ita-spool-")
            room = shutil.disk_usage(self.folder.name).free
            self.most_bytes = min(self.most_bytes, int(room * SHARE_OF_ROOM))
        return Path(self.folder.name)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            self.folder.cleanup()
