"""Dataset cards: where a dataset's files are, what they contain, and where to get them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pydantic import Field, field_validator

from ita_pipeline.core.config import config_files, find_config, package_data_folder, parse_config, read_yaml
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.boxes import BoxFiles
from ita_pipeline.corpus.formats import FormatName, parse_posts
from ita_pipeline.corpus.formats.conll import ID_PREFIXES, Layout
from ita_pipeline.corpus.formats.schemes import describe_scheme, find_scheme
from ita_pipeline.corpus.line_errors import OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.picture_files import PictureFiles
from ita_pipeline.corpus.posts import ParsedPost, Post
from ita_pipeline.sources.classify import TargetKind, classify, describe_file
from ita_pipeline.sources.hub_datasets import is_loadable
from stages.base import Frozen
from stages.languages import find_language, list_languages, load_words

# Contexts from other programs, next to the posts of a folder.
CONTEXTS_FILE = "contexts.jsonl"

CONLL_FILES = {"train": ["train.txt"], "dev": ["dev.txt", "valid.txt"], "test": ["test.txt"]}

IMAGES = [f"{place}{{id}}.{suffix}" for place in ("images/", "") for suffix in ("jpg", "png")]

SPLITS = ("train", "dev", "test")


class Columns(Frozen):
    """Columns of CoNLL files, from 0 or from -1 backward; without `token`, the first that does not number words."""

    token: int | None = None
    tag: int = -1


class DatasetCard(Frozen):
    """A dataset's card.

    `files`, `images` and `captions` list alternatives relative to the dataset's folder; the first that exists wins.
    `files` has one entry per split, or a single entry `all` for a JSONL file whose lines name their split.
    `columns` are those of words and tags in CoNLL files, where `id_prefix` begins a line that names a picture.
    `images` are patterns with `{id}`, and perhaps `*`; any ending of a picture will do. `boxes` is such a
    pattern of Pascal VOC files with the boxes of mentions. `captions` are files of
    captions, or other contexts, from other programs. `language` is a language tag, such as zh.
    """

    about: str
    source: str = ""
    licence: str = ""
    language: str = ""
    format: FormatName = "conll"
    folder: str = ""
    files: Mapping[str, Sequence[str]] = Field(min_length=1)
    columns: Columns = Columns()
    id_prefix: str = ""
    images: Sequence[str] = ()
    boxes: str = ""
    captions: Sequence[str] = ()
    types: Mapping[str, str] = {}
    experiment: str = "default"

    @field_validator("boxes")
    @classmethod
    def _check_boxes(cls, pattern: str) -> str:
        if pattern and "{id}" not in pattern:
            raise ValueError("must be a path with {id}, such as xml/{id}.xml")
        return pattern

    @classmethod
    def read(cls, file: Path) -> DatasetCard:
        """Read a card.

        Raises:
            UsageError: a setting of it is unknown or impossible.
        """
        return parse_config(cls, read_yaml(file), file)

    @property
    def layout(self) -> Layout:
        """The layout of the card's CoNLL files."""
        prefixes = (self.id_prefix,) if self.id_prefix else ()
        return Layout(self.columns.token, self.columns.tag, (*prefixes, *ID_PREFIXES))


@dataclass(frozen=True, slots=True)
class Dataset:
    """Posts by split. `notes` describe how they were read; `source` is the name or path that was loaded."""

    name: str
    card: DatasetCard
    folder: Path
    splits: Mapping[str, tuple[Post, ...]]
    captions: Path | None
    notes: tuple[str, ...]
    source: str = ""

    @property
    def posts(self) -> tuple[Post, ...]:
        """The posts of all splits, in order."""
        return tuple(post for posts in self.splits.values() for post in posts)

    def with_train_posts(self, count: int) -> Dataset:
        """The dataset with that many of its train posts, drawn by chance; a smaller draw is part of a larger one.

        Raises:
            UsageError: there are fewer train posts.
        """
        posts = self.splits.get("train", ())
        if count > len(posts):
            what = f"dataset {self.name} has {len(posts)} train posts, not {count}"
            raise UsageError(what, f"--train-sizes {len(posts)}, or all")
        drawn = sorted(Random("train posts").sample(range(len(posts)), len(posts))[:count])
        return replace(self, splits={**self.splits, "train": tuple(posts[index] for index in drawn)})

    def require_labels(self, split: str, hint: str) -> Sequence[Post]:
        """Return the posts of a split, none of which may be unlabeled.

        Raises:
            UsageError: a post is unlabeled; `hint` says what to do.
        """
        posts = self.splits.get(split, ())
        unlabeled = next((post.id for post in posts if post.gold is None), None)
        if unlabeled is not None:
            raise UsageError(f"dataset {self.name}: post {unlabeled} of {split} has no labels", hint)
        return posts


def load_dataset(
    name: str, data: Path | None, workspace_data: Path, on_error: OnLineError = raise_unless_tolerated
) -> Dataset:
    """Load a dataset: the name of its card, a card's file, a folder with `tweets.jsonl` and images, or JSON lines.

    Faulty lines go to `on_error`. By default the first line that the reader cannot repair raises.

    Raises:
        UserError: there is no such dataset, or a file of it is faulty.
        MissingError: a file is missing; the message names it and where to get it.
    """
    label, card, folder = _find_parts(name, data, workspace_data)
    parsed = {
        split: list(parse_posts(file, card.format, card.types, on_error, card.layout))
        for split, file in find_split_files(label, card, folder).items()
    }
    tags = (one.tags for posts in parsed.values() for one in posts)
    notes = list(describe_scheme(find_scheme(tags, card.types)))
    if "all" in parsed:
        unassigned = sum(one.split is None for one in parsed["all"])
        if unassigned:
            notes.append(
                f"{format_count(unassigned, 'post')} without a split: divided into train, dev and test 8:1:1 "
                "by a hash of the id"
            )
        parsed = _divide(parsed["all"])
    partial = sum(span.partial for posts in parsed.values() for one in posts for span in one.post.gold or ())
    if partial:
        notes.append(
            f"mentions that begin or end inside a word: {partial}; they are not learned and count as missed "
            f"(list them with ita data check {name})"
        )
    if card.language and find_language(card.language) is None:
        why = f"there are no words in {card.language}, only in {', '.join(list_languages())}"
        notes.append(f"captions, tags and prompts are in English: {why}")
    words = load_words(card.language)
    files = PictureFiles(folder, tuple(card.images))
    splits = {
        split: tuple(
            files.complete(one.post.without_spaces() if words and words.unspaced else one.post) for one in posts
        )
        for split, posts in parsed.items()
    }
    boxes = BoxFiles(folder, card.boxes)
    if card.boxes and not boxes.are_there(post for posts in splits.values() for post in posts):
        notes.append(f"no boxes of mentions are known: no picture of a post has a file {card.boxes} in {folder}")
    elif card.boxes:
        splits = {name: tuple(boxes.complete(post, on_error) for post in posts) for name, posts in splits.items()}
    return Dataset(label, card, folder, splits, _first_file(folder, card.captions), tuple(notes), name)


def _find_parts(name: str, data: Path | None, workspace_data: Path) -> tuple[str, DatasetCard, Path]:
    """The short name, the card and the folder of a dataset."""
    path = Path(name).expanduser()
    if name not in config_files("datasets"):
        if path.is_dir():
            return path.resolve().name, _infer_card(path), path
        kind = classify(path)
        if kind is TargetKind.POSTS_FILE:
            files = {"all": [path.name]}
            return path.stem, DatasetCard(about="a file of posts", format="jsonl", files=files), path.parent
        _refuse_importable(path)
        if path.is_file() and kind not in (TargetKind.DATASET_CARD, TargetKind.YAML_FILE):
            what, hint = describe_file(path, kind)
            raise UsageError(f"{path} is {what}, not a dataset", hint)
    file = find_dataset(name)
    card = DatasetCard.read(file)
    is_beside = data is None and all(_first_file(file.parent, options) for options in card.files.values())
    folder = file.parent if is_beside else find_data_folder(file.stem, card, data, workspace_data)
    return file.stem, card, folder


def find_dataset(name: str) -> Path:
    """Find the card of a dataset.

    Raises:
        MissingError: there is no such card.
        UsageError: it is a file of posts that has to be imported.
    """
    try:
        return find_config("datasets", name)
    except MissingError as error:
        _refuse_importable(Path(name).expanduser())
        folder = ", or a folder with tweets.jsonl and pictures"
        raise MissingError(str(error), error.hint + ("" if error.hint.endswith("?") else folder)) from error


def _infer_card(folder: Path) -> DatasetCard:
    """The card of a folder that has none, from the names of its files."""
    about, captions = "a folder of posts", [CONTEXTS_FILE]
    if (folder / "tweets.jsonl").is_file():
        return DatasetCard(about=about, format="jsonl", files={"all": ["tweets.jsonl"]}, captions=captions)
    if (folder / "train.jsonl").is_file():
        files = {split: [f"{split}.jsonl"] for split in SPLITS}
        return DatasetCard(about=about, format="jsonl", files=files, captions=captions)
    if (folder / "train.txt").is_file():
        return DatasetCard(about=about, files=CONLL_FILES, images=IMAGES, captions=captions)
    _refuse_importable(folder)
    raise MissingError(
        f"{folder} has neither tweets.jsonl nor train.jsonl nor train.txt",
        'write lines of {"text": …, "image": "x.jpg", "mentions": […]}, or give files in CoNLL form the names '
        "train.txt, dev.txt and test.txt; see docs/datasets.md",
    )


def _refuse_importable(path: Path) -> None:
    """Refuse a table, or a saved dataset, which other commands read.

    Raises:
        UsageError: the path is one.
    """
    if path.exists() and is_loadable(str(path)):
        what = f"{path} is a table or a dataset of the library `datasets`"
        raise UsageError(what, f"import it first: ita data import {path} --to FOLDER")


def find_data_folder(name: str, card: DatasetCard, data: Path | None, workspace_data: Path) -> Path:
    """Find a dataset's files: in `data` or its subfolder `name`, or without `data` in the workspace's data.

    Raises:
        MissingError: the files are in none of these folders.
    """
    if card.folder:
        return package_data_folder("examples").parent / card.folder
    folders = [workspace_data / name] if data is None else [data / name, data]
    for folder in folders:
        if folder.is_dir() and any(_first_file(folder, options) for options in card.files.values()):
            return folder
    files = ", ".join(dict.fromkeys(options[0] for options in card.files.values()))
    places = f"{workspace_data / name}" if data is None else f"{data} or {data / name}"
    raise MissingError(
        f"dataset {name}: its files ({files}) are not in {places}",
        f"{f'get them from {card.source}, then ' if card.source else ''}give their folder: --data FOLDER",
    )


def _first_file(folder: Path, options: Sequence[str]) -> Path | None:
    return next((folder / option for option in options if (folder / option).is_file()), None)


def find_split_files(name: str, card: DatasetCard, folder: Path) -> dict[str, Path]:
    """Find the file of each split.

    Raises:
        MissingError: a split has no file.
    """
    files = {}
    for split, options in card.files.items():
        file = _first_file(folder, options)
        if file is None:
            hint = f"get it from {card.source}" if card.source else f"a file is needed for {', '.join(card.files)}"
            raise MissingError(f"dataset {name}: {folder / options[0]} is missing", hint)
        files[split] = file
    return files


def _divide(posts: Sequence[ParsedPost]) -> dict[str, list[ParsedPost]]:
    """Assign posts to splits: to the split that the line names, or by a hash of the post's id."""
    divided: dict[str, list[ParsedPost]] = {split: [] for split in SPLITS}
    for parsed in posts:
        divided[parsed.split or _hash_to_split(parsed.post.id)].append(parsed)
    return {split: members for split, members in divided.items() if members}


def _hash_to_split(post_id: str) -> str:
    """A split that depends on nothing but the post's id, so that adding posts moves none."""
    number = int(hashlib.sha256(post_id.encode()).hexdigest()[:8], 16) % 10
    return "train" if number < 8 else "dev" if number == 8 else "test"
