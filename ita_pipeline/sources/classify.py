"""Decide what a target is, the argument of `ita extract` and other commands: a folder, a file, a URL or a name."""

from __future__ import annotations

import re
import shlex
from enum import Enum, auto
from pathlib import Path

from ita_pipeline.core.files import open_regular
from ita_pipeline.core.remote import is_url
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.file_list import JSON_LINES_SUFFIXES, LIST_SUFFIXES, expand_braces, find_path_column
from ita_pipeline.sources.hub_datasets import SAVED_FILES, is_loadable
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.parquet import is_table
from ita_pipeline.sources.tar import is_archive
from stages.base import IMAGE_SUFFIXES

_HEAD_BYTES = 16 * 1024

# The first line of CoNLL files, and a word with its tag; `ita_pipeline.corpus.formats.conll` reads them.
_CONLL_STARTS = (b"IMGID:", b"WID:", b"-DOCSTART-")
_TAGGED_LINE = re.compile(rb"\S.*[ \t](?:O|X|[A-Z]-\S+)\s*")

_MAGIC_NUMBERS = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "COMPRESSED", b"BZh": "COMPRESSED", b"\xfd7zXZ": "COMPRESSED"}

# Each of these files makes a folder a dataset of posts.
POSTS_FILES = ("tweets.jsonl", "train.jsonl", "train.txt")


class TargetKind(Enum):
    """The kind of a target, as `classify` decides it."""

    URL = auto()
    CONTAINER = auto()
    IMAGE = auto()
    IMAGE_LIST = auto()
    SAVED_DATASET = auto()
    SAVED_DATASET_WITH_POSTS = auto()
    HUB_DATASET = auto()
    IMAGE_FOLDER = auto()
    POSTS_FOLDER = auto()
    POSTS_FILE = auto()
    CONLL_FILE = auto()
    DATASET_CARD = auto()
    YAML_FILE = auto()
    TEXT_TABLE = auto()
    ZIP = auto()
    COMPRESSED = auto()
    OTHER_FILE = auto()
    NAME = auto()

    @property
    def is_dataset(self) -> bool:
        """Whether the library `datasets` loads the target."""
        return self in (self.SAVED_DATASET, self.SAVED_DATASET_WITH_POSTS, self.HUB_DATASET)

    @property
    def is_source(self) -> bool:
        """Whether the target is a source of images other than a plain folder."""
        return self.is_dataset or self in (self.URL, self.CONTAINER, self.IMAGE, self.IMAGE_LIST)

    @property
    def is_image_folder(self) -> bool:
        """Whether the target is a folder without posts."""
        return self in (self.IMAGE_FOLDER, self.SAVED_DATASET)


_DESCRIPTIONS = {
    TargetKind.CONTAINER: ("an archive or table of pictures", "ita extract {file}"),
    TargetKind.IMAGE: ("a picture", "ita extract {file}"),
    TargetKind.IMAGE_LIST: ("a list of pictures", "ita extract {file}"),
    TargetKind.POSTS_FILE: ("a file of posts", "ita predict RUN {file}, or ita train --dataset {file}"),
    TargetKind.CONLL_FILE: (
        "a CoNLL file of posts",
        "ita predict RUN {file}; to train, give a folder with train.txt, dev.txt and test.txt",
    ),
    TargetKind.DATASET_CARD: ("a dataset card", "ita train --dataset {file}"),
    TargetKind.YAML_FILE: ("a YAML file that is not a dataset card", "a card names files:; see docs/datasets.md"),
    TargetKind.TEXT_TABLE: (
        "a table in text form",
        "ita predict RUN {file}, or ita data import {file} --to FOLDER; for pictures: a list with one path a line",
    ),
    TargetKind.ZIP: ("a zip archive", "unzip {file} -d FOLDER, then give the folder"),
    TargetKind.COMPRESSED: ("a compressed file", "if it is an archive: tar xf {file}, then give the folder in it"),
}


NOT_TEXT = frozenset({TargetKind.CONTAINER, TargetKind.IMAGE, TargetKind.ZIP, TargetKind.COMPRESSED})
"""Files that contain neither posts nor lists in text form."""


def describe_file(path: Path, kind: TargetKind) -> tuple[str, str]:
    """Describe what a file is, and which command accepts it, for errors of commands that do not."""
    unknown = "a file of unknown format", "docs/sources.md and docs/datasets.md describe what is read"
    what, command = _DESCRIPTIONS.get(kind, unknown)
    return what, command.format(file=shlex.quote(str(path)))


def classify(target: Path | str) -> TargetKind:
    """Return the kind of a target. The first rule that applies decides:

    1. `scheme://…` is a URL.
    2. A file is a container (an archive or table), an image, a table in text form or YAML by its suffix, and a
       compressed file or CoNLL by its content. Other text is a list of images. JSON lines are a list if the first
       line has a column of images and no text; otherwise they are posts.
    3. A folder is a dataset if the library `datasets` has saved it; then a folder of posts if it has one of the
       `POSTS_FILES`; otherwise a folder of images.
    4. A missing `owner/name` is a dataset on the hub, unless the folder `owner` exists or the name ends like an
       image or a configuration file.
    5. A missing path that ends like a container is one. So is a pattern in braces if that is true of all its
       names, or if they are URLs.
    6. Anything else is a name, for example that of a dataset card, or a file that is not regular, such as a pipe.

    Raises:
        UsageError: a pattern in braces stands for too many names.
        MissingError: a file of JSON lines cannot be read.
    """
    text, path = str(target), Path(target)
    if is_url(text):
        return TargetKind.URL
    if path.is_file():
        return _classify_file(path)
    if path.is_dir():
        return _classify_folder(path)
    if _is_hub_name(text):
        return TargetKind.HUB_DATASET
    if all(is_container(name) or is_url(name) for name in expand_braces(text)):
        return TargetKind.CONTAINER
    return TargetKind.OTHER_FILE if path.exists() else TargetKind.NAME


def is_container(name: str) -> bool:
    """Whether a file name is that of an archive or a table."""
    return is_archive(name) or is_table(name)


def is_image_name(name: str) -> bool:
    """Whether a file name has the suffix of an image format."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _classify_file(path: Path) -> TargetKind:
    name, suffix, head = path.name.lower(), path.suffix.lower(), _read_head(path)
    packed = next((kind for number, kind in _MAGIC_NUMBERS.items() if head.startswith(number)), "")
    if is_container(name):
        return TargetKind.CONTAINER
    if suffix in IMAGE_SUFFIXES or (not suffix and not find_image_problem(path)):
        return TargetKind.IMAGE
    if packed or suffix == ".zip":
        return TargetKind[packed or "ZIP"]
    if suffix in (".yaml", ".yml"):
        return TargetKind.DATASET_CARD if re.search(rb"^files *:", head, re.MULTILINE) else TargetKind.YAML_FILE
    if name.endswith(JSON_LINES_SUFFIXES):
        is_list = b"\0" not in head and find_path_column(LocalFile(path)) is not None
        return TargetKind.IMAGE_LIST if is_list else TargetKind.POSTS_FILE
    if suffix == ".json" or head.lstrip().startswith(b"{"):
        return TargetKind.POSTS_FILE
    if _is_conll(head):
        return TargetKind.CONLL_FILE
    if suffix in (".csv", ".tsv"):
        return TargetKind.TEXT_TABLE
    return TargetKind.IMAGE_LIST if name.endswith(LIST_SUFFIXES) else TargetKind.OTHER_FILE


def _read_head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def _is_conll(head: bytes) -> bool:
    """Whether the first line names a picture as in CoNLL files, or the first lines are words with tags."""
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").splitlines()[:40] if line.strip()]
    if len(head) == _HEAD_BYTES:
        lines = lines[:-1]
    return bool(lines) and (lines[0].startswith(_CONLL_STARTS) or all(map(_TAGGED_LINE.fullmatch, lines)))


def _classify_folder(folder: Path) -> TargetKind:
    has_posts = any((folder / name).is_file() for name in POSTS_FILES)
    saved = [name for name in SAVED_FILES if (folder / name).is_file()]
    if "dataset_dict.json" in saved or len(saved) > 1:
        return TargetKind.SAVED_DATASET_WITH_POSTS if has_posts else TargetKind.SAVED_DATASET
    return TargetKind.POSTS_FOLDER if has_posts else TargetKind.IMAGE_FOLDER


def _is_hub_name(target: str) -> bool:
    owner, slash, name = target.partition("/")
    if not slash or Path(owner).exists() or name.lower().endswith((".yaml", ".yml", *IMAGE_SUFFIXES)):
        return False
    return is_loadable(target)
