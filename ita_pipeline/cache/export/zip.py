"""Records carried from one cache to another in a file, and what a file must prove before it is let in.

The file is a ZIP archive of the cache's own layout, `<stage>/<key>/stage.json` and `<stage>/<key>/records.jsonl`,
closed by `archive.json`: unpacked into `.ita/cache/` by hand, it is read like any cache.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ita_pipeline.cache.database import State
from ita_pipeline.cache.inventory import holdings
from ita_pipeline.cache.keys import SHORT, StageKey
from ita_pipeline.cache.records import Record, damaged, decode, scan
from ita_pipeline.cache.store import KEY_FILE, Reader, Store
from ita_pipeline.cache.validate import LONGEST_DESCRIPTION, checked_key, parsed, sensible
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import open_atomically
from ita_pipeline.core.iteration import batched
from stages.base import Failure, Stage

RECORDS_FILE, CLOSING_FILE = "records.jsonl", "archive.json"

SCHEMA = "ita.cache-archive/1"

NAME = re.compile(rf"([a-z][a-z0-9_-]{{0,63}})/([0-9a-f]{{{SHORT}}})/({re.escape(KEY_FILE)}|{RECORDS_FILE})")

# Records shrink to a fifth or so; what shrinks to less than a two-hundredth was made to fill a disk.
MOST_UNPACKED, MOST_TIMES = 1024**3, 200

BATCH = 500

# What was brought in is not in use by that: it is the first to go, and the last to be looked at.
NEVER_USED = 0.0


@dataclass(frozen=True, slots=True)
class Exported:
    """What an archive holds: keys, records, and its size in bytes."""

    keys: int
    records: int
    size: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in under one key, and how many records were here already. With `other_version`, nothing did: the
    records are of another version of the stage than the one installed, which cannot vouch for their shape.
    """

    key: StageKey
    added: int = 0
    known: int = 0
    other_version: bool = False


def export(store: Store, file: Path, stages: Sequence[str] = ()) -> Exported:
    """Write all records that hold, or those of some stages, to an archive; it appears when it is complete.

    Raises:
        UsageError: the file exists, or there is nothing to export.
        CorruptCacheError: a record is damaged.
    """
    if file.exists():
        raise UsageError(f"{file} exists", "give a name that is free")
    found = [holding for holding in holdings(store) if not stages or holding.key.stage in stages]
    if not any(holding.values or holding.failures for holding in found):
        of = f" of {', '.join(stages)}" if stages else ""
        raise UsageError(f"the cache holds no record{of}", "ita cache ls shows what there is")
    with open_atomically(file) as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive:
        counts = [pack(archive, store, holding.key, holding.folder) for holding in found]
        archive.writestr(member(CLOSING_FILE), json.dumps({"schema": SCHEMA, "keys": len(counts)}) + "\n")
    return Exported(len(found), sum(counts), file.stat().st_size)


def pack(archive: zipfile.ZipFile, store: Store, key: StageKey, folder: Path) -> int:
    """Add a key with the records that hold under it; how many there are."""
    store.index.refresh(folder)
    damage = store.index.damage(folder)
    if damage:
        raise damaged(damage[0].segment, damage[0].line)
    place = f"{key.stage}/{key.short}"
    archive.writestr(member(f"{place}/{KEY_FILE}"), (folder / KEY_FILE).read_bytes())
    count = 0
    with Reader() as reader, archive.open(member(f"{place}/{RECORDS_FILE}"), "w", force_zip64=True) as opened:
        for entry in store.index.entries(folder):
            opened.write(reader.line(entry) + b"\n")
            count += 1
    return count


def member(name: str) -> zipfile.ZipInfo:
    """A file of an archive without a time, so that the same records give the same archive."""
    made = zipfile.ZipInfo(name)
    made.compress_type = zipfile.ZIP_DEFLATED
    made.external_attr = 0o644 << 16
    return made


def import_archive(store: Store, file: Path, installed: Mapping[str, type[Stage[Any]]]) -> list[Imported]:
    """Merge an archive into the cache. Nothing that is here changes; nothing comes in unless all of it is sound.

    Args:
        store: Where to.
        file: An archive from anywhere: nothing in it is trusted.
        installed: The stages that are installed, by name.

    Raises:
        UsageError: there is no such file, or it is not a sound archive of a cache.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}", "ita cache export FILE makes one")
    with sound(file):
        opened = zipfile.ZipFile(file)
    with opened as archive:
        with sound(file):
            parts = checked_parts(archive, file, installed)
            for part in parts:
                for _ in part.records(archive) if part.readable else ():
                    pass
        return [
            merge(store, part, archive) if part.readable else Imported(part.key, other_version=True)
            for part in parts
        ]


@contextlib.contextmanager
def sound(file: Path) -> Iterator[None]:
    """Whatever is wrong with an archive is one sentence."""
    try:
        yield
    # RuntimeError is another compression, an encrypted file, or brackets too deep.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"{file} is not a sound archive of a cache: {' '.join(str(error).split())[:200]}",
            "nothing was imported; export it again where it came from: ita cache export FILE",
        ) from error


@dataclass(frozen=True, slots=True)
class Part:
    """A key of an archive and where its records stand."""

    key: StageKey
    member: zipfile.ZipInfo
    stage: type[Stage[Any]]

    @property
    def readable(self) -> bool:
        return self.key.components.get("version") == self.stage.version

    def records(self, archive: zipfile.ZipFile) -> Iterator[Record]:
        """
        Raises:
            ValueError: a line is not a record of this stage.
        """
        with archive.open(self.member) as opened:
            # A line too long is read in pieces, none of which is a record.
            for line in scan(cast(Any, opened)):
                where = f"{self.member.filename}, line {line.number}"
                if not line.good:
                    raise ValueError(f"{where}: not what was written there")
                try:
                    record = decode(line.content, self.stage.value_type)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{where}: {error}") from error
                if not sensible(record):
                    raise ValueError(f"{where}: not a record of a picture")
                yield record


def checked_parts(archive: zipfile.ZipFile, file: Path, installed: Mapping[str, type[Stage[Any]]]) -> list[Part]:
    """The keys of an archive; its names, sizes, keys and completeness hold.

    Raises:
        ValueError: they do not.
        UsageError: it holds records of a stage that is not installed.
    """
    members = archive.infolist()
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        raise ValueError("it names a file twice")
    for name in names:
        if name != CLOSING_FILE and not NAME.fullmatch(name):
            raise ValueError(f"it holds {name[:80]!r}, which no cache has")
    if sum(info.file_size for info in members) > max(MOST_UNPACKED, MOST_TIMES * file.stat().st_size):
        raise ValueError(f"it unpacks to more than {MOST_TIMES} times its size")
    descriptions = [name for name in names if name.endswith(f"/{KEY_FILE}")]
    closing = read_json(archive, CLOSING_FILE) if CLOSING_FILE in names else {}
    if closing.get("schema") != SCHEMA or closing.get("keys") != len(descriptions):
        raise ValueError("it was not made by ita cache export, or is incomplete")
    parts: list[Part] = []
    for name in descriptions:
        key = checked_key(name, read_json(archive, name))
        if key.stage not in installed:
            raise UsageError(f"{file} holds records of the stage {key.stage}", "install that stage first")
        records = name.removesuffix(KEY_FILE) + RECORDS_FILE
        if records not in names:
            raise ValueError(f"it has no {records}")
        info = archive.getinfo(records)
        parts.append(Part(key, info, installed[key.stage]))
    return parts


def read_json(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    with archive.open(name) as opened:
        return parsed(cast(IO[bytes], opened).read(LONGEST_DESCRIPTION + 1), name)


def merge(store: Store, part: Part, archive: zipfile.ZipFile) -> Imported:
    """Append those records that say more than what is here: values, and failures of pictures nobody has read."""
    folder = store.folder(part.key)
    store.index.refresh(folder)
    new, added, known = not (folder / KEY_FILE).exists(), 0, 0
    with store.writer(part.key, anew=True) as writer:
        for batch in batched(part.records(archive), BATCH):
            images = [record.image for record in batch]
            here = {entry.image: entry.state for entry in store.index.entries(folder, images)}
            fresh = [record for record in batch if says_more(record, here.get(record.image))]
            writer.append(fresh)
            added, known = added + len(fresh), known + len(batch) - len(fresh)
    if new:
        store.mark_used(part.key, NEVER_USED)
    return Imported(part.key, added, known)


def says_more(record: Record, here: State | None) -> bool:
    return here is None or (here is not State.VALUE and not isinstance(record.result, Failure))
