"""Posts from datasets of the library `datasets`. Images are kept as their original bytes."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import read_regular
from ita_pipeline.corpus.formats.kbner import escape_word
from ita_pipeline.corpus.formats.schemes import TAGS_HINT, decode_tags, describe_scheme, find_scheme, is_tag
from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.sources.columns import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    IMAGE_LIST_COLUMNS,
    TAG_COLUMNS,
    TEXT_COLUMNS,
    WORD_COLUMNS,
)
from ita_pipeline.sources.decode import MAX_BYTES, open_header
from ita_pipeline.sources.hub_datasets import load


@dataclass(frozen=True, slots=True)
class _Columns:
    """Names of the columns that posts are read from, None for a column that the dataset lacks."""

    words: str | None
    text: str | None
    tags: str | None
    id: str | None
    image: str | None

    @classmethod
    def find(cls, names: Sequence[str]) -> _Columns:
        kinds = (WORD_COLUMNS, TEXT_COLUMNS, TAG_COLUMNS, ID_COLUMNS, (*IMAGE_COLUMNS, *IMAGE_LIST_COLUMNS))
        return cls(*(next((name for name in kind if name in names), None) for kind in kinds))


def import_posts(rows: Any, split: str, folder: Path, notes: list[str], tag_names: str | None) -> Iterator[Post]:
    """Read the labeled posts of one split, and save their images in `folder`. Image paths are relative to it.

    Raises:
        UsageError: there is no column of words, or a tag is no BIO tag.
    """
    columns = _Columns.find(rows.column_names)
    if columns.words is None:
        what = f"{split} has no words: its columns are {', '.join(rows.column_names)}"
        raise UsageError(what, f"one of {', '.join(WORD_COLUMNS)}")
    names = tag_names.split(",") if tag_names else _find_tag_names(rows, columns.tags)
    dropped = 0
    all_tags: list[list[str]] = []
    for number, (row, post) in enumerate(_read_rows(rows, columns, split, folder), 1):
        dropped += len(list(_name_images(row, columns, split, number))) - len(post.pictures)
        tags = row[columns.tags] if columns.tags else None
        if tags is None:
            yield post
            continue
        all_tags.append([_name_tag(tag, names, split, number) for tag in tags])
        if len(tags) != len(post.words):
            what = f"{split}, row {number}: {len(post.words)} words have {len(tags)} tags"
            raise UsageError(what, "one tag for each word")
        yield replace(post, gold=tuple(decode_tags(all_tags[-1], {})))
    if dropped:
        notes.append(f"{split}: {dropped} pictures are none of a known format or too large, and were left out")
    notes += [f"{split}: {note}" for note in describe_scheme(find_scheme(all_tags, {}))]


@contextmanager
def posts_in(splits: Mapping[str, Any]) -> Iterator[Iterator[Post]]:
    """Open the posts of all splits, in order, without labels. Exit removes the folder that holds their images."""
    with tempfile.TemporaryDirectory(prefix="ita-") as folder:
        parts = (_read_split(rows, name, Path(folder)) for name, rows in splits.items())
        yield itertools.chain.from_iterable(parts)


def posts_of_source(source: str) -> AbstractContextManager[Iterator[Post]]:
    """Open the posts of a saved folder, a folder of Parquet or Arrow files, or a dataset of the hub.

    Raises:
        MissingError: there is no such dataset, here or on the hub.
    """
    return posts_in(load(source))


def _read_split(rows: Any, split: str, folder: Path) -> Iterator[Post]:
    """Posts of one split, from a column of words, or else of texts.

    Raises:
        UsageError: there is neither.
    """
    columns = _Columns.find(rows.column_names)
    if columns.words is None and columns.text is None:
        what = f"{split} has no posts: its columns are {', '.join(rows.column_names)}"
        raise UsageError(what, f"one of {', '.join((*WORD_COLUMNS, *TEXT_COLUMNS))}")
    used = (columns.words or columns.text, columns.id, columns.image)
    rows = rows.select_columns([name for name in dict.fromkeys(used) if name])
    for _, post in _read_rows(rows, columns, split, folder):
        yield replace(post, pictures=tuple(Picture(one.name, folder / one.name) for one in post.pictures))


def _read_rows(rows: Any, columns: _Columns, split: str, folder: Path) -> Iterator[tuple[Mapping[str, Any], Post]]:
    """Yield each row with its post. Encoded images are saved in `folder`, and paths are relative to it."""
    import datasets

    feature, encoded = rows.features.get(columns.image), datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        rows = rows.cast_column(columns.image, encoded)
    elif isinstance(getattr(feature, "feature", None), datasets.Image):
        rows = rows.cast_column(columns.image, datasets.List(encoded))
    for number, row in enumerate(rows, 1):
        post_id = str(row[columns.id]) if columns.id else f"{split}-{number}"
        if columns.words is None:
            post = Post.from_text(str(row[columns.text or ""] or ""), id=post_id)
        else:
            post = Post.from_words(post_id, tuple(escape_word(str(word)) for word in row[columns.words] or ()))
        saved = (_save_image(content, name, folder) for name, content in _name_images(row, columns, split, number))
        yield row, replace(post, pictures=tuple(Picture(path.as_posix(), path) for path in saved if path))


def _name_images(row: Mapping[str, Any], columns: _Columns, split: str, number: int) -> Iterator[tuple[str, Any]]:
    """The names and encoded bytes of all images of a row."""
    content = row[columns.image] if columns.image else None
    if isinstance(content, list):
        yield from ((f"{split}-{number}-{n}", one) for n, one in enumerate(content, 1) if one is not None)
    elif content is not None:
        yield f"{split}-{number}", content


def _find_tag_names(rows: Any, tags: str | None) -> list[str] | None:
    """The names of numbered tags, if the dataset has them."""
    feature = rows.features.get(tags) if tags else None
    return getattr(getattr(feature, "feature", None), "names", None)


def _name_tag(tag: Any, names: Sequence[str] | None, split: str, number: int) -> str:
    """A tag of any scheme from its name or number."""
    if isinstance(tag, int):
        if names is None:
            raise UsageError(f"{split}: the tags are numbers without names", "name them: --tag-names O,B-PER,I-PER")
        if not 0 <= tag < len(names):
            what = f"{split}, row {number}: {tag} is no number of a tag"
            raise UsageError(what, "--tag-names names every number")
        tag = names[tag]
    if not is_tag(str(tag)):
        raise UsageError(f"{split}, row {number}: {tag!r} is no BIO tag", TAGS_HINT)
    return str(tag)


def _save_image(content: Any, name: str, folder: Path) -> Path | None:
    """Write an image's bytes to `images/<name>`. Returns None if they are no image. Nothing is decoded."""
    if not isinstance(content, dict):
        return None
    data, file = content.get("bytes"), Path(content.get("path") or "")
    try:
        if data is None and file.is_file():
            data = read_regular(file, MAX_BYTES)
        if not data or len(data) > MAX_BYTES:
            return None
        with open_header(io.BytesIO(data)) as image:
            # MPO is JPEG with further images behind the first.
            suffix = "jpg" if image.format in ("JPEG", "MPO") else (image.format or "").lower()
    except Exception:  # decoders may raise any exception on damaged data
        return None
    path = Path("images") / f"{name}.{suffix}"
    (folder / path.parent).mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return path
