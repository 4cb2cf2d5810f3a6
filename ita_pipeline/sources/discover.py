"""Discover the images of a source: folders here and elsewhere, archives, tables, lists, and single addresses."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from ita_pipeline.core.errors import MissingError, UsageError, UserError
from ita_pipeline.core.remote import WEB_PROTOCOLS, as_user_error, protocol_of
from ita_pipeline.core.text import format_count
from ita_pipeline.sources.base import ImageSource, RandomAccessFile
from ita_pipeline.sources.classify import TargetKind, classify, describe_file, is_container, is_image_name
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.file_list import LIST_SUFFIXES, expand_braces, open_source, read_list
from ita_pipeline.sources.hub_datasets import load
from ita_pipeline.sources.identify import KnownFiles
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import RemoteFile, examine_file, list_files
from ita_pipeline.sources.parquet import list_dataset_cells, list_table_cells
from ita_pipeline.sources.refs import SourceListing, Unreadable
from ita_pipeline.sources.tar import ArchiveContents, Member, is_archive, list_archive
from stages.base import IMAGE_SUFFIXES

_IMAGES_HINT = "pictures are files ending in .jpg .jpeg .png .webp .gif .bmp .tif .tiff .avif, or without an ending"

# The part of a file that is read to see whether it is an image.
_HEAD_BYTES = 256 * 1024

_Item = TypeVar("_Item")


def discover(target: str, known_files: KnownFiles | None = None) -> SourceListing:
    """List the images of a source. The contents of remote archives are looked up and recorded in `known_files`.

    Raises:
        UserError: the source is missing, access is denied, or it has no images.
    """
    names = [] if Path(target).exists() else expand_braces(target)
    if len(names) > 1:
        listing = _discover_all(partial(_discover_one, known_files=known_files), names)
    else:
        listing = _discover_one(target, known_files)
    if not listing.images:
        others = f" ({format_count(len(listing.others), 'other file')})" if listing.others else ""
        raise UsageError(f"there is no picture in {open_source(target).label}{others}", _IMAGES_HINT)
    return listing


def find_image(label: str, known_files: KnownFiles | None = None) -> ImageSource:
    """Find one image by its label: a path, a URL, or a part of a container, as `a.tar::name` or `a.parquet::12`.

    Raises:
        UserError: the image is missing.
    """
    if Path(label).is_file():
        kind = classify(label)
        if kind not in (TargetKind.IMAGE, TargetKind.OTHER_FILE):
            what, hint = describe_file(Path(label), kind)
            if kind is TargetKind.POSTS_FILE:
                hint = f"ita why {shlex.quote(label)} --post ID explains one of its posts"
            raise UsageError(f"{label} is {what}, not a picture", hint)
        return LocalFile(Path(label))
    container, separator, _ = label.rpartition("::")
    if separator:
        for source in discover(container, known_files).images:
            if source.label == label:
                return source
        raise MissingError(f"there is no picture {label}", f"ita status {container}")
    file = open_source(label)
    if isinstance(file, LocalFile):
        is_folder = Path(label).is_dir()
        what = f"{label} is a folder, not a picture" if is_folder else f"there is no picture {label}"
        raise MissingError(what, "ita why FILE, one picture; ita status FOLDER, all of them")
    return examine_file(file.url) if isinstance(file, RemoteFile) else file


def list_folder(folder: Path) -> SourceListing:
    """List every file below a folder, without hidden ones.

    Links to folders are followed after the folders themselves, and each folder is listed once, so no loop occurs. A
    link to a folder that contains `folder` is not followed.
    """
    images: list[ImageSource] = []
    others: list[PurePath] = []
    unreadable: list[Unreadable] = []

    def report(error: OSError) -> None:
        unreadable.append(Unreadable(LocalFile(Path(error.filename)), error.strerror or type(error).__name__))

    listed = {_find_inode(parent) for parent in folder.resolve().parents}
    starts = [folder]
    for start in starts:
        for directory, folders, files in os.walk(start, onerror=report):
            parent, inode = Path(directory), _find_inode(directory)
            if inode in listed:
                folders.clear()
                continue
            listed.add(inode)
            subfolders = [parent / name for name in sorted(folders) if not name.startswith(".")]
            folders[:] = [path.name for path in subfolders if not path.is_symlink()]
            starts += [path for path in subfolders if path.is_symlink()]
            for name in sorted(files):
                if name.startswith("."):
                    continue
                if _is_image_file(parent, name):
                    images.append(LocalFile(parent / name))
                else:
                    others.append(parent / name)
    return SourceListing(tuple(images), tuple(others), tuple(unreadable))


def _find_inode(folder: Path | str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)  # noqa: PTH116 (called for every folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_image_file(folder: Path, name: str) -> bool:
    """Whether a file is an image by its suffix, or by its content if it has no suffix."""
    suffix = os.path.splitext(name)[1]  # noqa: PTH122 (for a million files)
    if suffix:
        return suffix.lower() in IMAGE_SUFFIXES
    path = folder / name
    return path.is_file() and not find_image_problem(path)


def _is_image_member(member: Member) -> bool:
    """As `_is_image_file`, for a file in an archive. Content is not fetched from a remote one."""
    if PurePosixPath(member.path).suffix or member.is_remote or member.reason:
        return is_image_name(member.path)
    head = member.container.read_range(member.offset, min(member.size, _HEAD_BYTES))
    return not find_image_problem(io.BytesIO(head))


def _discover_one(target: str, known_files: KnownFiles | None) -> SourceListing:
    file = open_source(target)
    kind = classify(target)
    if kind.is_dataset:
        return SourceListing(tuple(list_dataset_cells(load(target))))
    if kind is TargetKind.IMAGE:
        return SourceListing((file,))
    if is_container(file.name):
        return _open_container(file, known_files)
    if file.name.lower().endswith(LIST_SUFFIXES):
        return read_list(file)
    if isinstance(file, LocalFile):
        listing = list_folder(file.path)
        containers = [LocalFile(Path(path)) for path in listing.others if is_container(path.name)]
    elif protocol_of(target) in WEB_PROTOCOLS:
        return SourceListing((file,))
    else:
        files = list_files(target)
        others = tuple(PurePosixPath(one.name) for one in files if not is_image_name(one.name))
        listing = SourceListing(tuple(one for one in files if is_image_name(one.name)), others)
        containers = [one for one in files if is_container(one.name)]
    if listing.images or not containers:
        return listing
    inside = _discover_all(partial(_try_container, known_files=known_files), containers)
    rest = tuple(path for path in listing.others if not is_container(path.name))
    return SourceListing(inside.images, inside.others + rest, listing.unreadable + inside.unreadable)


def _open_container(file: RandomAccessFile, known_files: KnownFiles | None) -> SourceListing:
    """List the images in an archive or table.

    Raises:
        UserError: the file is missing, unreadable or malformed.
    """
    if isinstance(file, RemoteFile) and not file.listed_stamp:
        file = examine_file(file.url)
    try:
        if not is_archive(file.name):
            return SourceListing(tuple(list_table_cells(file, file.current_stamp())))
        contents = _read_archive(file, known_files)
    except UserError:
        raise
    except Exception as error:  # libraries of file systems raise anything
        raise as_user_error(error, file.label) from error
    images = [member for member in contents.members if _is_image_member(member)]
    names = {member.path for member in images}
    return SourceListing(
        tuple(images),
        tuple(PurePosixPath(member.path) for member in contents.members if member.path not in names),
        (Unreadable(file, contents.damage),) if contents.damage else (),
    )


def _try_container(file: RandomAccessFile, known_files: KnownFiles | None) -> SourceListing:
    """As `_open_container`, for one of the files in a folder: a malformed one is only reported."""
    try:
        return _open_container(file, known_files)
    except UsageError as error:
        return SourceListing(unreadable=(Unreadable(file, str(error)),))


def _read_archive(file: RandomAccessFile, known_files: KnownFiles | None) -> ArchiveContents:
    """List an archive. The contents of a remote one are recorded, since listing it takes many requests."""
    stamp = file.current_stamp()
    if known_files is None or not file.is_remote:
        return list_archive(file, stamp)
    address = file.address(os.getcwd())  # noqa: PTH109 (a string is needed)
    recorded = known_files.archive(address, stamp)
    if recorded is not None:
        return ArchiveContents.from_json(recorded, file, stamp)
    contents = list_archive(file, stamp)
    if stamp and not contents.damage:
        known_files.note_archive(address, stamp, contents.to_json())
    return contents


def _discover_all(list_one: Callable[[_Item], SourceListing], sources: Sequence[_Item]) -> SourceListing:
    """List several sources at the same time, and join the listings in order."""
    with ThreadPoolExecutor(8) as pool:  # a source may wait for another machine
        listings = list(pool.map(list_one, sources))
    return SourceListing(
        tuple(chain.from_iterable(listing.images for listing in listings)),
        tuple(chain.from_iterable(listing.others for listing in listings)),
        tuple(chain.from_iterable(listing.unreadable for listing in listings)),
        tuple(dict.fromkeys(note for listing in listings for note in listing.notes)),
    )
