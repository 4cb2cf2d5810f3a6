"""Dataset cards: where the files of a dataset lie, what is in them, and where a person gets them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from ita_pipeline.core.config import config_files, find_config, package_data_folder, parse_config, read_yaml
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.formats.jsonl import ParsedPost, read_jsonl
from ita_pipeline.corpus.line_errors import OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import Post
from stages.base import Frozen

# Contexts made elsewhere, beside the posts of a folder.
CONTEXTS_FILE = "contexts.jsonl"

# What a folder is looked through for that is a dataset without a card.
POSTS_FILES = ("tweets.jsonl", "train.jsonl", "train.txt")

CONLL_FILES = {"train": ["train.txt"], "dev": ["dev.txt", "valid.txt"], "test": ["test.txt"]}

IMAGES = [f"{place}{{id}}.{suffix}" for place in ("images/", "") for suffix in ("jpg", "png")]

SPLITS = ("train", "dev", "test")


class DatasetCard(Frozen):
    """`files`, `images` and `captions` list alternatives relative to the dataset's folder; the first found wins.

    `files` has one entry a split, or a single entry `all` for a JSONL file whose lines name their split.
    `images` are patterns with `{id}`. `captions` are files of captions, or other contexts, made elsewhere.
    """

    about: str
    source: str = ""
    licence: str = ""
    format: Literal["conll", "jsonl"] = "conll"
    folder: str = ""
    files: Mapping[str, Sequence[str]] = Field(min_length=1)
    images: Sequence[str] = ()
    captions: Sequence[str] = ()
    types: Mapping[str, str] = {}
    experiment: str = "default"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Posts by split. `notes` are things to tell about how they were read; `source` is what it was asked for by."""

    name: str
    card: DatasetCard
    folder: Path
    splits: Mapping[str, tuple[Post, ...]]
    captions: Path | None
    notes: tuple[str, ...]
    source: str = ""

    @property
    def posts(self) -> tuple[Post, ...]:
        return tuple(post for posts in self.splits.values() for post in posts)


def load_dataset(
    name: str, data: Path | None, workspace_data: Path, on_error: OnLineError = raise_unless_tolerated
) -> Dataset:
    """A dataset by the name of its card, by a card's file, or by a folder with `tweets.jsonl` and pictures.

    `on_error` is called with every faulty line; by default the first that reading does not repair ends it.

    Raises:
        UsageError: there is no such dataset, or its files are not what they should be.
        MissingError: a file is missing; the message names it and where to get it.
    """
    as_folder = Path(name).expanduser()
    if name not in config_files("datasets") and as_folder.is_dir():
        label, card, folder = as_folder.resolve().name, infer_card(as_folder), as_folder
    else:
        file = find_dataset(name)
        label = file.stem
        card = parse_config(DatasetCard, read_yaml(file), f"dataset card {file.name}")
        folder = find_data_folder(label, card, data, workspace_data)
    if card.format == "jsonl":
        splits, notes = read_split_jsonl(label, card, folder, on_error)
    else:
        splits, notes = read_split_conll(label, card, folder, on_error), ()
    return Dataset(label, card, folder, splits, first_file(folder, card.captions), notes, name)


def find_dataset(name: str) -> Path:
    try:
        return find_config("datasets", name)
    except UsageError as error:
        folder = "; or give a folder with tweets.jsonl and pictures"
        hint = error.hint + ("" if error.hint.endswith("?") else folder)
        raise UsageError(str(error), hint) from error


def infer_card(folder: Path) -> DatasetCard:
    if (folder / "tweets.jsonl").is_file():
        return DatasetCard(
            about="a folder of posts", format="jsonl", files={"all": ["tweets.jsonl"]}, captions=[CONTEXTS_FILE]
        )
    if (folder / "train.jsonl").is_file():
        files = {split: [f"{split}.jsonl"] for split in SPLITS}
        return DatasetCard(about="a folder of posts", format="jsonl", files=files, captions=[CONTEXTS_FILE])
    if (folder / "train.txt").is_file():
        return DatasetCard(about="a folder of posts", files=CONLL_FILES, images=IMAGES, captions=[CONTEXTS_FILE])
    raise MissingError(
        f"{folder} has neither tweets.jsonl nor train.jsonl nor train.txt",
        'write lines of {"text": …, "image": "x.jpg", "mentions": […]}, or give files in CoNLL form the names '
        "train.txt, dev.txt and test.txt; see docs/datasets.md",
    )


def find_data_folder(name: str, card: DatasetCard, data: Path | None, workspace_data: Path) -> Path:
    """Where the files lie: `--data` itself or a folder of the dataset's name in it, else the workspace's data."""
    if card.folder:
        return package_data_folder("examples").parent / card.folder
    roots = [data] if data is not None else [workspace_data]
    for folder in [root / name for root in roots] + ([data] if data is not None else []):
        if folder.is_dir() and any(first_file(folder, options) for options in card.files.values()):
            return folder
    wanted = ", ".join(options[0] for options in card.files.values())
    place = f"{data} or {data / name}" if data is not None else f"{workspace_data / name}"
    raise MissingError(
        f"dataset {name}: its files ({wanted}) are not in {place}",
        f"{f'get them from {card.source} and ' if card.source else ''}give their folder: --data FOLDER",
    )


def first_file(folder: Path, options: Sequence[str]) -> Path | None:
    return next((folder / option for option in options if (folder / option).is_file()), None)


def read_split_conll(
    name: str, card: DatasetCard, folder: Path, on_error: OnLineError
) -> dict[str, tuple[Post, ...]]:
    return {
        split: tuple(attach_image(post, card, folder) for post in read_conll(file, card.types, on_error))
        for split, file in find_split_files(name, card, folder).items()
    }


def find_split_files(name: str, card: DatasetCard, folder: Path) -> dict[str, Path]:
    files = {}
    for split, options in card.files.items():
        found = first_file(folder, options)
        if found is None:
            hint = f"get it from {card.source}" if card.source else ""
            raise MissingError(f"dataset {name}: {folder / options[0]} is missing", hint)
        files[split] = found
    return files


def attach_image(post: Post, card: DatasetCard, folder: Path) -> Post:
    if post.image_id is None:
        return post
    paths = (folder / pattern.replace("{id}", post.image_id) for pattern in card.images)
    return replace(post, picture=next((path for path in paths if path.is_file()), None))


def read_split_jsonl(
    name: str, card: DatasetCard, folder: Path, on_error: OnLineError
) -> tuple[dict[str, tuple[Post, ...]], tuple[str, ...]]:
    files = find_split_files(name, card, folder)
    read = {split: read_jsonl(file, card.types, on_error) for split, file in files.items()}
    notes = []
    if "all" in read:
        by_hash = sum(found.split is None for found in read["all"])
        if by_hash:
            notes.append(f"{by_hash} posts name no split: put into train, dev and test 8:1:1 by a hash of their id")
        divided = {split: [f for f in read["all"] if (f.split or hash_to_split(f)) == split] for split in SPLITS}
        read = {split: found for split, found in divided.items() if found}
    widened = sum(found.widened for posts in read.values() for found in posts)
    if widened:
        notes.append(f"{widened} mentions ended inside a word and were widened to whole words")
    posts = {
        split: tuple(drop_missing_image(found.post) for found in found_posts) for split, found_posts in read.items()
    }
    return posts, tuple(notes)


def hash_to_split(found: ParsedPost) -> str:
    """A split that depends on nothing but the post's id, so that adding posts moves none."""
    number = int(hashlib.sha256(found.post.id.encode()).hexdigest()[:8], 16) % 10
    return "train" if number < 8 else "dev" if number == 8 else "test"


def drop_missing_image(post: Post) -> Post:
    there = post.picture is not None and post.picture.is_file()
    return post if there else replace(post, picture=None)
