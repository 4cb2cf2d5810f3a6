"""Posts from datasets of the library `datasets`. Images are kept as their original bytes."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.text import clean_line, format_count
from ita_pipeline.corpus.formats.cell_images import find_image
from ita_pipeline.corpus.formats.fields import parse_fields
from ita_pipeline.corpus.formats.kbner import escape_word
from ita_pipeline.corpus.formats.schemes import (
    TAGS_HINT,
    decode_tags,
    describe_scheme,
    find_scheme,
    is_tag,
)
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post, locate_words
from ita_pipeline.sources.columns import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    IMAGE_LIST_COLUMNS,
    TAG_COLUMNS,
    TEXT_COLUMNS,
    WORD_COLUMNS,
    find_column,
)
from ita_pipeline.sources.hub_datasets import SPLIT_ALIASES, load


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns of texts and images, if they are given, and the file that is read, if it is a single one.

    `root` is the folder that pictures stay in that rows name instead of their bytes; None if they may be anywhere,
    since the rows are the caller's own.
    """

    text: str | None = None
    image: str | None = None
    file: Path | None = None
    root: Path | None = None

    @classmethod
    def of(cls, source: str, text: str | None = None, image: str | None = None) -> ColumnNames:
        """The columns of a source."""
        path = Path(source)
        return cls(text, image, path if path.is_file() else None, path.parent if path.is_file() else path)

    @property
    def folder(self) -> Path | None:
        """The folder that paths of images start from."""
        return self.file.parent if self.file else None


@dataclass(frozen=True, slots=True)
class _Columns:
    """Names of the columns that posts are read from, None for a column that the dataset lacks."""

    words: str | None
    text: str | None
    tags: str | None
    id: str | None
    image: str | None
    split: str | None
    mentions: str | None

    @classmethod
    def find(cls, names: Sequence[str], given: ColumnNames, split: str) -> _Columns:
        """Find the columns by their names.

        Raises:
            UsageError: there are neither words nor texts, or no column of a given name.
        """
        images = find_column(names, (*IMAGE_COLUMNS, *IMAGE_LIST_COLUMNS), given.image)
        text = find_column(names, TEXT_COLUMNS, given.text)
        words, tags, post_id, split_name, mentions = (
            find_column(names, kind) for kind in (WORD_COLUMNS, TAG_COLUMNS, ID_COLUMNS, ("split",), ("mentions",))
        )
        if words is None and text is None:
            what = f"{given.file or split} has no posts: its columns are {', '.join(map(clean_line, names))}"
            hint = f"name the column of texts: --text-column NAME; or call it {TEXT_COLUMNS[0]}"
            raise UsageError(what, hint)
        return cls(words, text, tags if words else None, post_id, images, split_name, mentions)


ANY_COLUMNS = ColumnNames()

# A longer text is no post, and would take hours to divide into words.
MAX_CHARACTERS = 1_000_000


def import_posts(
    rows: Any,
    split: str,
    folder: Path,
    notes: list[str],
    tag_names: str | None,
    given: ColumnNames = ANY_COLUMNS,
) -> Iterator[tuple[str, Post]]:
    """Read the posts of one split with their labels, and save their images in `folder`.

    Yields each post with its split: that of its row, if there is a column of this name.

    Raises:
        UsageError: there are neither words nor texts, a tag is not a BIO tag, or a mention or a split is invalid.
    """
    columns = _Columns.find(rows.column_names, given, split)
    names = tag_names.split(",") if tag_names else _find_tag_names(rows, columns.tags)
    source, dropped, missing = given.file or split, 0, 0
    all_tags: list[list[str]] = []
    for number, (row, post) in enumerate(_read_rows(rows, columns, split, folder, given), 1):
        where = f"{source}, row {number}"
        dropped += len(list(_name_images(row, columns, split, number))) - len(post.pictures)
        missing += len(post.pictures) - len(post.files)
        row_split = str(row[columns.split] or split) if columns.split else split
        row_split = SPLIT_ALIASES.get(row_split, row_split)
        if row_split not in ("", "train", "dev", "test"):
            raise UsageError(f"{where}: the split {row_split!r} is none of train, dev, test", "correct or empty it")
        mentions = _parse_list(row[columns.mentions]) if columns.mentions else None
        tags = _parse_list(row[columns.tags]) if columns.tags else None
        if mentions is not None and all(isinstance(one, dict) for one in mentions):
            post = _add_mentions(post, mentions, where)
        elif tags is not None:
            all_tags.append([_name_tag(tag, names, where) for tag in tags])
            if len(tags) != len(post.words):
                what = f"{where}: {len(post.words)} words have {len(tags)} tags"
                raise UsageError(what, "one tag for each word")
            post = replace(post, gold=tuple(decode_tags(all_tags[-1], {})))
        yield row_split, post
    if dropped:
        notes.append(f"{source}: left out {format_count(dropped, 'picture')} in no supported format, or too large")
    if missing:
        notes.append(f"{source}: pictures that are missing: {missing}")
    notes += [f"{source}: {note}" for note in describe_scheme(find_scheme(all_tags, {}))]


def _parse_list(value: Any) -> list[Any] | None:
    """A list of a cell, which may be written as JSON, or as words with spaces between them; None if it is empty."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return value.split() or None
    with contextlib.suppress(ValueError, RecursionError):
        parsed = json.loads(value)
        if isinstance(parsed, list):
            return parsed
    raise UsageError(f"{clean_line(value[:60])} is no list in JSON", 'write ["B-PER", "O"], or B-PER O')


def _add_mentions(post: Post, mentions: Sequence[Mapping[str, Any]], where: str) -> Post:
    """The post with mentions that are given by their characters, as in JSON lines."""
    fields = {"id": post.id, "text": post.text, "tokens": post.words or None, "mentions": mentions}
    try:
        parsed = parse_fields(fields, 1, where, Path())
    except LineError as error:
        hint = "mentions are start and end in characters of the text, and a type"
        raise UsageError(f"{where}: {error.reason}", hint) from error
    return replace(post, gold=parsed.post.gold)


@contextmanager
def posts_in(splits: Mapping[str, Any], given: ColumnNames = ANY_COLUMNS) -> Iterator[Iterator[Post]]:
    """Open the posts of all splits, in order, without labels. Exit removes the folder that holds their images."""
    with tempfile.TemporaryDirectory(prefix="ita-") as folder:
        parts = [_read_split(rows, name, Path(folder), given) for name, rows in splits.items()]
        yield itertools.chain.from_iterable(parts)


def posts_of_source(
    source: str, text_column: str | None = None, image_column: str | None = None
) -> AbstractContextManager[Iterator[Post]]:
    """Open the posts of a CSV, TSV or Parquet file, of a folder of such files, or of a saved dataset or the hub's.

    Raises:
        MissingError: there is no such dataset, here or on the hub.
        UsageError: a file is damaged.
    """
    return posts_in(load(source), ColumnNames.of(source, text_column, image_column))


def _read_split(rows: Any, split: str, folder: Path, given: ColumnNames) -> Iterator[Post]:
    """Posts of one split, from a column of words, or else of texts, or from the given one.

    Raises:
        UsageError: there is none.
    """
    columns = _Columns.find(rows.column_names, given, split)
    if given.text is not None:
        columns = replace(columns, words=None)
    elif columns.words is not None:
        columns = replace(columns, text=None)
    used = (columns.words or columns.text, columns.id, columns.image)
    rows = rows.select_columns([name for name in dict.fromkeys(used) if name])
    return (post for _, post in _read_rows(rows, columns, "" if given.file else split, folder, given))


def _read_rows(
    rows: Any, columns: _Columns, split: str, folder: Path, given: ColumnNames
) -> Iterator[tuple[Mapping[str, Any], Post]]:
    """Yield each row with its post. Encoded images are saved in `folder`."""
    import datasets

    feature, encoded = rows.features.get(columns.image), datasets.Image(decode=False)
    if isinstance(feature, datasets.Image):
        rows = rows.cast_column(columns.image, encoded)
    elif isinstance(getattr(feature, "feature", None), datasets.Image):
        rows = rows.cast_column(columns.image, datasets.List(encoded))
    for number, row in enumerate(rows, 1):
        post_id = str((row[columns.id] if columns.id else None) or _number(split, number))
        if columns.words is None:
            text = str(row[columns.text or ""] or "")
            if len(text) > MAX_CHARACTERS:
                what = f"{_number(split, number)}: the text has more than a million characters"
                raise UsageError(what, "divide it, or leave it out")
            post = Post.from_text(text, id=post_id)
        else:
            words = _parse_list(row[columns.words]) or ()
            post = Post.from_words(post_id, tuple(escape_word(str(word)) for word in words))
            text = row.get(columns.text)
            if isinstance(text, str):
                with contextlib.suppress(ValueError):  # the text may be another one
                    post = replace(post, text=text, offsets=locate_words(text, post.words))
        images = _name_images(row, columns, split, number)
        found = (find_image(content, name, folder, given.folder, given.root) for name, content in images)
        yield row, replace(post, pictures=tuple(picture for picture in found if picture))


def _name_images(row: Mapping[str, Any], columns: _Columns, split: str, number: int) -> Iterator[tuple[str, Any]]:
    """The names and contents of all images of a row: encoded bytes, or paths."""
    content = row[columns.image] if columns.image else None
    if isinstance(content, str) and content.startswith("["):
        content = _parse_list(content)
    name = _number(split, number)
    if isinstance(content, list):
        yield from ((f"{name}-{n}", one) for n, one in enumerate(content, 1) if one is not None)
    elif content:
        yield name, content


def _number(split: str, number: int) -> str:
    return f"{split}-{number}" if split else str(number)


def _find_tag_names(rows: Any, tags: str | None) -> list[str] | None:
    """The names of numbered tags, if the dataset has them."""
    feature = rows.features.get(tags) if tags else None
    return getattr(getattr(feature, "feature", None), "names", None)


def _name_tag(tag: Any, names: Sequence[str] | None, where: str) -> str:
    """A tag of any scheme from its name or number."""
    if isinstance(tag, int):
        if names is None:
            raise UsageError(f"{where}: the tags are numbers without names", "name them: --tag-names O,B-PER,I-PER")
        if not 0 <= tag < len(names):
            what = f"{where}: {tag} is no number of a tag"
            raise UsageError(what, "--tag-names names every number")
        tag = names[tag]
    if not is_tag(str(tag)):
        raise UsageError(f"{where}: {tag!r} is not a BIO tag", TAGS_HINT)
    return str(tag)
