"""Segments for tests of the cache: one stage, numbered images, and damage of each kind."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from ita_pipeline.cache.database import State
from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeStage, SizeValue

STAGE = SizeStage()
KEY = stage_key(STAGE, {})
FOLDER = KEY.folder

OpenStore = Callable[[Path], Store]


def value(image: int | str, width: int = 1) -> Record:
    return Record(image if isinstance(image, str) else f"{image:064x}", SizeValue(width=width, height=1), 0.5)


def failure(image: str) -> Record:
    return Record(image, Failure(kind=FailureKind.TRANSIENT, reason="busy"), 0.5)


def put(store: Store, *found: Record, replace: bool = False) -> Path:
    with store.open_writer(KEY, replace) as writer:
        writer.append(list(found))
    return writer.path


def read_numbers(store: Store) -> set[int]:
    return {int(image, 16) for image in store.results(STAGE, KEY)}


def spoil(content: bytes, how: str) -> bytes:
    if how == "flipped":
        return content.replace(b'"width": 1', b'"width": 7', 1)
    if how == "cut":
        return content[: len(content) * 2 // 3]
    if how == "no record":
        return b'{"hello": 1, "crc": "00000000"}\n'
    return b""


def read_states(store: Store) -> dict[str, State]:
    """What the index of a store contains, after it has been brought up to date."""
    store.index.refresh(store.folder(KEY))
    return {entry.image: entry.state for entry in store.index.find_entries(store.folder(KEY))}


def signed(text: str) -> bytes:
    """A line with a correct check sum, whatever it contains."""
    return text.encode() + b', "crc": "%08x"}' % zlib.crc32(text.encode())
