"""Where pictures may be taken from: folders here and elsewhere, archives, tables, lists, and single addresses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.remote import WEB_PROTOCOLS, as_user_error, is_url, protocol_of
from ita_pipeline.sources.base import File, Place
from ita_pipeline.sources.file_list import (
    expanded,
    file_at,
    is_json_lines,
    is_picture_list,
    is_text_list,
    read_list,
)
from ita_pipeline.sources.hub_datasets import SAVED, is_dataset, load
from ita_pipeline.sources.identify import SUFFIXES, KnownFiles, find
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import FarFile, far_file, files_below
from ita_pipeline.sources.parquet import cells, dataset_cells, is_table
from ita_pipeline.sources.refs import Unreadable
from ita_pipeline.sources.tar import Contents, contents, is_archive, read_back, written

OPENED_AT_ONCE = 8

PICTURES_ARE = "pictures are files ending in .jpg .jpeg .png .webp .gif .bmp .tif .tiff"


Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Sighted:
    """Pictures in a stable order; files that are none by their name; what could not be entered; and remarks."""

    pictures: tuple[Place, ...]
    others: tuple[PurePath, ...] = ()
    closed: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()


def is_source(target: str) -> bool:
    """Whether a target is a place of pictures by its form, other than a folder here; posts and datasets are not."""
    if is_url(target):
        return True
    path = Path(target)
    if path.is_file():
        return is_container(path.name) or is_picture_list(path)
    if path.is_dir():
        return is_saved(path)
    names = several(target) or [target]
    return all(is_container(name) or is_url(name) for name in names) or is_hub_name(target)


def is_saved(folder: Path) -> bool:
    """Whether a folder is a dataset as the library `datasets` saves it."""
    names = [name for name in SAVED if (folder / name).is_file()]
    return "dataset_dict.json" in names or len(names) > 1


def is_hub_name(target: str) -> bool:
    """Whether a target is the name of a dataset on the hub: owner/name, perhaps with @revision. What begins with a
    folder that is here is taken for a path.
    """
    owner, slash, name = target.partition("/")
    if not slash or Path(owner).exists() or name.lower().endswith((".yaml", ".yml", *SUFFIXES)):
        return False
    return is_dataset(target)


def several(target: str) -> list[str]:
    """The names that a pattern with braces stands for; none where it is no such pattern."""
    names = expanded(target)
    return names if len(names) > 1 else []


def is_container(name: str) -> bool:
    return is_archive(name) or is_table(name)


def sight(target: str, known_files: KnownFiles | None = None) -> Sighted:
    """The pictures of a source. What is in archives elsewhere is looked up in the `known_files`, and noted there.

    Raises:
        UserError: there is no such thing, it may not be read, or there is no picture in it.
    """
    names = [] if Path(target).exists() else several(target)
    found = (
        together(at_once(partial(sight_one, known_files=known_files), names))
        if names
        else sight_one(target, known_files)
    )
    if not found.pictures:
        others = f" ({len(found.others)} other files)" if found.others else ""
        raise UsageError(f"there is no picture in {file_at(target).label}{others}", PICTURES_ARE)
    return found


def sight_one(target: str, known_files: KnownFiles | None) -> Sighted:
    file = file_at(target)
    if isinstance(file, LocalFile) and (is_saved(file.path) or is_hub_name(target)):
        return sight_dataset(target)
    if is_container(file.name):
        return pictures_inside(file, known_files)
    if is_text_list(file.name) or is_json_lines(file.name):
        listed = read_list(file)
        return Sighted(listed.places, notes=listed.notes)
    if isinstance(file, LocalFile):
        return sight_folder(file.path)
    return Sighted((file,)) if protocol_of(target) in WEB_PROTOCOLS else sight_far_folder(target, known_files)


def sight_folder(folder: Path) -> Sighted:
    """Pictures below a local folder; where there are none, those in archives and tables there."""
    found = find(folder)
    inside = [LocalFile(path) for path in found.others if is_container(path.name)]
    if found.pictures or not inside:
        return Sighted(tuple(map(LocalFile, found.pictures)), found.others, found.closed)
    return add_plugin_stages(inside, [path for path in found.others if not is_container(path.name)], found.closed)


def sight_far_folder(url: str, known_files: KnownFiles | None) -> Sighted:
    """As `sight_folder`."""
    files = files_below(url)
    pictures = tuple(file for file in files if is_picture(file.name))
    inside = [file for file in files if is_container(file.name)]
    names = [PurePosixPath(file.name) for file in files if not is_picture(file.name)]
    if pictures or not inside:
        return Sighted(pictures, tuple(names))
    return add_plugin_stages(inside, [name for name in names if not is_container(name.name)], (), known_files)


def sight_dataset(source: str) -> Sighted:
    return Sighted(tuple(dataset_cells(load(source))))


def add_plugin_stages(
    inside: Sequence[File],
    others: Iterable[PurePath],
    closed: Sequence[Unreadable] = (),
    known_files: KnownFiles | None = None,
) -> Sighted:
    found = together(at_once(partial(pictures_inside_or_why_not, known_files=known_files), inside))
    return Sighted(found.pictures, (*found.others, *others), (*closed, *found.closed), found.notes)


def pictures_inside(file: File, known_files: KnownFiles | None) -> Sighted:
    """The pictures in an archive or a table.

    Raises:
        UserError: it is not there, cannot be read, or is none.
    """
    if isinstance(file, FarFile) and not file.listed:
        file = far_file(file.url)
    try:
        return (
            in_archive(file, known_files) if is_archive(file.name) else Sighted(tuple(cells(file, file.standing())))
        )
    except UserError:
        raise
    except Exception as error:  # libraries of file systems raise nearly anything
        raise as_user_error(error, file.label) from error


def pictures_inside_or_why_not(file: File, known_files: KnownFiles | None) -> Sighted:
    """As `pictures_inside`, for one of several that nobody named: what is none of them is told, and no more."""
    try:
        return pictures_inside(file, known_files)
    except UsageError as error:
        return Sighted((), closed=(Unreadable(file, str(error)),))


def in_archive(file: File, known_files: KnownFiles | None) -> Sighted:
    pictures: list[Place] = []
    others: list[PurePath] = []
    found = (
        remembered(file, known_files) if known_files is not None and file.far else contents(file, file.standing())
    )
    for member in found.members:
        if is_picture(member.path):
            pictures.append(member)
        else:
            others.append(PurePosixPath(member.path))
    closed = (Unreadable(file, found.damage),) if found.damage else ()
    return Sighted(tuple(pictures), tuple(others), closed)


def remembered(file: File, known_files: KnownFiles) -> Contents:
    """What is in an archive elsewhere, where it takes many requests to find that out."""
    stamp, address = file.standing(), file.address(os.getcwd())  # noqa: PTH109
    noted = known_files.archive(address, stamp)
    if noted is not None:
        return read_back(noted, file, stamp)
    found = contents(file, stamp)
    if stamp and not found.damage:
        known_files.note_archive(address, stamp, written(found))
    return found


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def together(parts: Iterable[Sighted]) -> Sighted:
    found = list(parts)
    return Sighted(
        tuple(place for part in found for place in part.pictures),
        tuple(name for part in found for name in part.others),
        tuple(closed for part in found for closed in part.closed),
        tuple(dict.fromkeys(note for part in found for note in part.notes)),
    )


def at_once(work: Callable[[Thing], Sighted], things: Sequence[Thing]) -> list[Sighted]:
    """Several looked into at the same time, since each may be a wait for another machine."""
    with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
        return list(pool.map(work, things))


def place_called(label: str, known_files: KnownFiles | None = None) -> Place:
    """One picture by what it is called: a path, a URL, or a part of an archive or table as `a.tar::name`,
    `a.parquet::12`.

    Raises:
        UserError: there is no such thing.
    """
    if Path(label).is_file():
        return LocalFile(Path(label))
    container, separator, _ = label.rpartition("::")
    if separator:
        found = next((place for place in sight(container, known_files).pictures if place.label == label), None)
        if found is None:
            raise UsageError(f"there is no picture {label}", f"ita status {container}")
        return found
    file = file_at(label)
    if isinstance(file, LocalFile):
        raise UsageError(
            f"there is no picture {label}", "ita why FILE, one picture; ita status FOLDER, all of them"
        )
    return far_file(file.url) if isinstance(file, FarFile) else file
