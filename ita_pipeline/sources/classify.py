"""Decide what a target is, the argument of `ita extract` and other commands: a folder, a file, a URL or a name."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path

from ita_pipeline.core.remote import is_url
from ita_pipeline.sources.file_list import JSON_LINES_SUFFIXES, LIST_SUFFIXES, expand_braces, find_path_column
from ita_pipeline.sources.hub_datasets import SAVED_FILES, is_loadable
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.parquet import is_table
from ita_pipeline.sources.tar import is_archive
from stages.base import IMAGE_SUFFIXES

# Each of these files makes a folder a dataset of posts.
POSTS_FILES = ("tweets.jsonl", "train.jsonl", "train.txt")


class TargetKind(Enum):
    """The kind of a target, as `classify` decides it."""

    URL = auto()
    CONTAINER = auto()
    IMAGE_LIST = auto()
    SAVED_DATASET = auto()
    SAVED_DATASET_WITH_POSTS = auto()
    HUB_DATASET = auto()
    IMAGE_FOLDER = auto()
    POSTS_FOLDER = auto()
    POSTS_FILE = auto()
    OTHER_FILE = auto()
    NAME = auto()

    @property
    def is_dataset(self) -> bool:
        """Whether the library `datasets` loads the target."""
        return self in (self.SAVED_DATASET, self.SAVED_DATASET_WITH_POSTS, self.HUB_DATASET)

    @property
    def is_source(self) -> bool:
        """Whether the target is a source of images other than a plain folder."""
        return self.is_dataset or self in (self.URL, self.CONTAINER, self.IMAGE_LIST)

    @property
    def is_image_folder(self) -> bool:
        """Whether the target is a folder without posts."""
        return self in (self.IMAGE_FOLDER, self.SAVED_DATASET)


def classify(target: Path | str) -> TargetKind:
    """Return the kind of a target. The first rule that applies decides:

    1. `scheme://…` is a URL.
    2. A file is a container (an archive or table) or a list of images by its suffix. JSON lines are a list if the
       first line has a column of images and no text; otherwise they are posts.
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
    if is_container(path.name):
        return TargetKind.CONTAINER
    name = path.name.lower()
    is_json_lines = name.endswith(JSON_LINES_SUFFIXES)
    if name.endswith(LIST_SUFFIXES) and (not is_json_lines or find_path_column(LocalFile(path)) is not None):
        return TargetKind.IMAGE_LIST
    return TargetKind.POSTS_FILE if path.suffix.lower() in JSON_LINES_SUFFIXES else TargetKind.OTHER_FILE


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
