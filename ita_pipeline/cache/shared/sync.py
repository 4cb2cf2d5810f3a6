"""Segments fetched from a shared cache and put there, each once, and none that is damaged."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.lineage import Known, Merge, equivalents, read_merges
from ita_pipeline.cache.records import NAME, SMALL, being_written, checked, decode, generation, host_name, scan
from ita_pipeline.cache.shared.store import Listing, Place, Shared
from ita_pipeline.cache.store import KEY_FILE, Store, describe
from ita_pipeline.cache.validate import sensible
from ita_pipeline.core.files import is_older_than, sync_folder, write_atomically
from stages.base import Stage

TOGETHER = 8

# Objects that vanish while they are fetched were brought together by somebody else; then it is listed again.
LOOKS = 5

# A segment of another host, in a folder that machines share, is looked on as closed after so many seconds.
CLOSED_AFTER = 3600.0

# Small objects under a key, at so many of which whoever put the last one brings them together.
MANY_THERE = 128


Thing = TypeVar("Thing")

Answer = TypeVar("Answer")

AnyStage = type[Stage[Any]] | Stage[Any]


@dataclass(frozen=True, slots=True)
class Moved:
    """How many segments went, their bytes, and what is damaged and so was left out: an address, and a line or 0.

    `owed` are segments here that are not there; it is `crowded` there where what was put made small ones many.
    """

    segments: int = 0
    size: int = 0
    damaged: tuple[tuple[str, int], ...] = ()
    owed: int = 0
    crowded: bool = False

    def __add__(self, other: Moved) -> Moved:
        return Moved(
            self.segments + other.segments,
            self.size + other.size,
            self.damaged + other.damaged,
            self.owed + other.owed,
            self.crowded or other.crowded,
        )


@dataclass(frozen=True, slots=True)
class SharingOutcome:
    """How a run ended with its shared cache: why not everything is there, and what in it is damaged."""

    trouble: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.trouble and not self.damaged


@dataclass(frozen=True, slots=True)
class Compared:
    """What a place lists, and what is known there and here of segments brought together."""

    there: Listing
    merges: tuple[Merge, ...]


def compare(store: Store, shared: Shared, place: Place) -> Compared:
    folder = store.root / "cache" / place.stage / place.short
    there = shared.listing(place)
    here = read_merges(folder)
    unknown = sorted(there.notes - {merge.name for merge in here})
    others = in_turn(partial(shared.merge, place), unknown)
    return Compared(there, (*here, *(merge for merge in others if merge is not None)))


def pull(store: Store, shared: Shared, key: StageKey, stage: AnyStage) -> Moved:
    """Fetch the segments of a key whose content is not here.

    Each is checked, line by line, before it is a segment by its name.

    Raises:
        Exception: as the file system's library raises.
    """
    place, folder, total = Place.of(key), store.folder(key), Moved()
    left_out: dict[str, int] = {}
    for look in range(LOOKS):
        found = compare(store, shared, place)
        wanted = [name for name in missing_here(folder, found) if name not in left_out]
        if wanted:
            folder.mkdir(parents=True, exist_ok=True)
            describe(key, folder / KEY_FILE)

        fetch = partial(fetched, shared, place, folder, stage, found.there.segments)
        came = in_turn(fetch, wanted)
        total += Moved(sum(one.kept for one in came), sum(one.size for one in came if one.kept))
        left_out |= {one.name: one.line for one in came if one.line is not None}
        if wanted:
            sync_folder(folder)
        gone = [one for one in came if one.gone]
        if not gone or look == LOOKS - 1:
            keep_notes(folder, found)
            total += Moved(owed=len(missing_there(folder, found)))
            break
    damaged = tuple((shared.address(place, name), line) for name, line in left_out.items())
    return total + Moved(damaged=damaged)


def missing_here(folder: Path, found: Compared) -> list[str]:
    """Names of what has to be fetched, the newest generation first; of what is there twice, one is enough."""
    known = Known((path.name for path in folder.glob("*.jsonl")), found.merges)
    wanted: list[str] = []
    # What others were brought together in comes first: with it, they need not come.
    into = {name for merge in found.merges for name in merge.into}
    for name in sorted(found.there.segments, key=lambda n: (n not in into, -generation(Path(n)), n)):
        if name not in known.names:
            wanted.append(name)
            known.add([name])
    return wanted


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an object: it was `kept`, is damaged from a `line` on (0 for its end), or is gone."""

    name: str
    size: int = 0
    kept: bool = False
    line: int | None = None
    gone: bool = False


def fetched(
    shared: Shared,
    place: Place,
    folder: Path,
    stage: AnyStage,
    sizes: Mapping[str, int],
    name: str,
) -> Fetched:
    descriptor, made = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    os.close(descriptor)
    aside = Path(made)
    try:
        try:
            shared.fetch(place, name, aside)
        except FileNotFoundError:
            return Fetched(name, gone=True)
        line = first_damage(aside, stage, sizes[name])
        if line is not None:
            return Fetched(name, line=line)
        with aside.open("rb") as opened:
            os.fsync(opened.fileno())
        aside.chmod(0o644)
        long_ago = time.time() - 2 * CLOSED_AFTER  # so that nobody takes it for one that still grows
        os.utime(aside, (long_ago, long_ago))
        aside.replace(folder / name)
        return Fetched(name, sizes[name], kept=True)
    finally:
        aside.unlink(missing_ok=True)


def first_damage(path: Path, stage: AnyStage | None, size: int | None = None) -> int | None:
    """The number of the first line of a fetched segment that is no record of a stage; 0 where its end is missing.

    Without a stage, its lines are held against their check sums alone.
    """
    with path.open("rb") as opened:
        end = 0
        for line in scan(opened):
            end = line.end
            if not checked(line.content):
                return line.number
            if stage is not None:
                try:
                    record = decode(line.content, stage.value_type)
                except (ValueError, RecursionError):
                    return line.number
                if not sensible(record):
                    return line.number
    whole = path.stat().st_size
    return None if end == whole and whole > 0 and size in (None, whole) else 0


def keep_notes(folder: Path, found: Compared) -> None:
    """Remember what was brought together elsewhere, where it concerns what is here."""
    names = {path.name for path in folder.glob("*.jsonl")}
    for merge in found.merges:
        if names & (merge.into | merge.parts) and not (folder / merge.name).exists():
            write_atomically(folder / merge.name, merge.to_json().decode())


def push(store: Store, shared: Shared, key: StageKey) -> Moved:
    """Put the segments of a key whose content is not there, and that nobody appends to.

    Raises:
        Exception: as the file system's library raises.
    """
    place, folder = Place.of(key), store.folder(key)
    found = compare(store, shared, place)
    wanted = missing_there(folder, found)
    if not wanted:
        if found.there.segments:
            shared.describe(key, found.there)
        return Moved()
    shared.describe(key, found.there)
    went = in_turn(lambda path: put_segment(shared, place, path), wanted)
    names = {*found.there.segments, *(path.name for path in wanted)}
    for merge in found.merges:
        if merge.name not in found.there.notes and merge.into <= names and merge.parts & names:
            shared.put(place, merge.name, merge.to_json())
    small = [size for size in found.there.segments.values() if size < SMALL]
    mine = sum(one.size < SMALL for one in went)
    crowded = (len(small) + mine) // MANY_THERE > len(small) // MANY_THERE
    return sum(went, Moved(crowded=crowded))


def missing_there(folder: Path, found: Compared) -> list[Path]:
    """Segments that have to be put, the newest generation first, so that nothing they replaced is there alone."""
    known = equivalents(found.there.segments, found.merges)
    paths = [path for path in folder.glob("*.jsonl") if path.name not in known and NAME.fullmatch(path.name)]
    return sorted((path for path in paths if is_closed(path)), key=lambda path: (-generation(path), path.name))


def is_closed(path: Path) -> bool:
    with suppress(FileNotFoundError):
        if being_written(path):
            return False
        return path.name.startswith(f"{host_name()}-") or is_older_than(path, CLOSED_AFTER)
    return False


def put_segment(shared: Shared, place: Place, path: Path) -> Moved:
    """Put the whole lines of a segment; one that is damaged, or gone meanwhile, is not put."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Moved()
    content = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        if not checked(line):
            return Moved(damaged=((str(path), number),))
    if not content:
        return Moved()
    shared.put(place, path.name, content)
    return Moved(1, len(content))


def in_turn(work: Callable[[Thing], Answer], things: Sequence[Thing]) -> list[Answer]:
    """What comes of each, several at once. The first error ends it, and so does Ctrl-C, which waits for nobody: an
    executor of the standard library would wait for what is under way, perhaps with a server that never answers.
    """
    if len(things) == 1:
        return [work(things[0])]
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Answer | None, BaseException | None]] = queue.SimpleQueue()
    ended = threading.Event()
    for number in range(len(things)):
        todo.put(number)

    def hand() -> None:
        with suppress(queue.Empty):
            while not ended.is_set():
                number = todo.get_nowait()
                try:
                    done.put((number, work(things[number]), None))
                except BaseException as error:
                    done.put((number, None, error))

    for _ in range(min(TOGETHER, len(things))):
        threading.Thread(target=hand, daemon=True).start()
    found: dict[int, Answer] = {}
    try:
        while len(found) < len(things):
            with suppress(queue.Empty):
                number, answer, error = done.get(timeout=0.2)
                if error is not None:
                    raise error
                found[number] = cast(Answer, answer)
    finally:
        ended.set()
    return [found[number] for number in range(len(things))]
