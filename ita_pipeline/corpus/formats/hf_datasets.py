"""Format: posts from datasets of the library `datasets`. Images are kept as the bytes they are."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.conll import TAG, decode_bio
from ita_pipeline.corpus.formats.kbner import escape_word
from ita_pipeline.corpus.posts import Post, join_words
from ita_pipeline.sources.decode import FORMATS, MOST_BYTES
from ita_pipeline.sources.hub_datasets import IDS, PICTURES, TAGS, WORDS, load

# IOBES and BILOU in terms of BIO.
PREFIXES = {"S": "B", "U": "B", "E": "I", "L": "I"}


def posts_of(rows: Any, split: str, folder: Path, notes: list[str], tag_names: str | None) -> Iterator[Post]:
    columns = list(rows.column_names)
    words, tags = column(columns, WORDS), column(columns, TAGS)
    id_column, picture = column(columns, IDS), column(columns, PICTURES)
    if words is None:
        raise UsageError(
            f"{split} has no words: its columns are {', '.join(columns)}", f"one of {', '.join(WORDS)}"
        )
    names = tag_names.split(",") if tag_names else class_names(rows, tags)
    rows = with_bytes(rows, picture)
    bad = 0
    for number, row in enumerate(rows, 1):
        post_id = str(row[id_column]) if id_column else f"{split}-{number}"
        tokens = tuple(escape_word(str(word)) for word in row[words])
        text, offsets = join_words(tokens)
        gold = None
        if tags is not None and row[tags] is not None:
            found = [bio(tag, names, split, number) for tag in row[tags]]
            if len(found) != len(tokens):
                raise UsageError(
                    f"{split}, row {number}: {len(tokens)} words have {len(found)} tags", "one tag for each word"
                )
            gold = tuple(decode_bio(found, {}))
        post = Post(post_id, text, tokens, offsets, gold)
        kept = keep_picture(row.get(picture), f"{split}-{number}", folder) if picture else None
        bad += picture is not None and row.get(picture) is not None and kept is None
        yield replace(post, image_id=kept.stem, picture=kept) if kept else post
    if bad:
        notes.append(f"{split}: {bad} pictures are none of a known format or too large, and were left out")


def column(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in columns), None)


def class_names(rows: Any, tags: str | None) -> list[str] | None:
    """The names of numbered tags, where the dataset has them."""
    feature = rows.features.get(tags) if tags else None
    return getattr(getattr(feature, "feature", None), "names", None)


def bio(tag: Any, names: Sequence[str] | None, split: str, number: int) -> str:
    if isinstance(tag, int):
        if names is None:
            raise UsageError(f"{split}: the tags are numbers without names", "name them: --tag-names O,B-PER,I-PER")
        if not 0 <= tag < len(names):
            raise UsageError(
                f"{split}, row {number}: {tag} is no number of a tag", "--tag-names names every number"
            )
        tag = names[tag]
    prefix, dash, kind = str(tag).partition("-")
    found = f"{PREFIXES.get(prefix, prefix)}{dash}{kind}"
    if not TAG.fullmatch(found):
        raise UsageError(f"{split}, row {number}: {tag!r} is no BIO tag", "tags are O, B-TYPE and I-TYPE")
    return found


def with_bytes(rows: Any, picture: str | None) -> Any:
    """Rows whose pictures are handed over as they lie, undecoded."""
    import datasets

    if picture is None or not isinstance(rows.features.get(picture), datasets.Image):
        return rows
    return rows.cast_column(picture, datasets.Image(decode=False))


def keep_picture(content: Any, name: str, folder: Path) -> Path | None:
    """Write a picture's bytes under a name of our own; None where they are no picture. Nothing is decoded."""
    from PIL import Image

    data = content.get("bytes") if isinstance(content, dict) else None
    if data is None and isinstance(content, dict) and content.get("path") and Path(content["path"]).is_file():
        file = Path(content["path"])
        data = file.read_bytes() if file.stat().st_size <= MOST_BYTES else None
    if not data or len(data) > MOST_BYTES:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            suffix = {"JPEG": "jpg"}.get(opened.format or "", (opened.format or "").lower())
    except Exception:  # decoders raise nearly anything on damaged data
        return None
    path = Path("images") / f"{name}.{suffix}"
    (folder / path.parent).mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return path


TEXTS = ("text", "tweet", "sentence", "content")


@contextmanager
def posts_in(splits: Mapping[str, Any]) -> Iterator[Iterator[Post]]:
    """The posts of all splits, in order; their pictures lie in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ita-") as folder:
        parts = (read(rows, name, Path(folder)) for name, rows in splits.items())
        yield itertools.chain.from_iterable(parts)


@contextmanager
def posts_of_source(source: str) -> Iterator[Iterator[Post]]:
    """As `posts_in`, of a saved folder, a folder of Parquet or Arrow files, or a name on the hub.

    Raises:
        MissingError: there is no such dataset, here or on the hub.
    """
    with posts_in(load(source)) as posts:
        yield posts


def read(rows: Any, split: str, folder: Path) -> Iterator[Post]:
    """Posts of one split, by a column of words, else by one of texts.

    Raises:
        UsageError: there is neither.
    """
    columns = list(rows.column_names)
    words, text = column(columns, WORDS), column(columns, TEXTS)
    named, picture = column(columns, IDS), column(columns, PICTURES)
    wanted = words or text
    if wanted is None:
        what = f"{split} has no posts: its columns are {', '.join(columns)}"
        raise UsageError(what, f"one of {', '.join((*WORDS, *TEXTS))}")
    rows = rows.select_columns([name for name in dict.fromkeys((wanted, named, picture)) if name])
    for number, row in enumerate(with_bytes(rows, picture), 1):
        name = str(row[named]) if named else f"{split}-{number}"
        post = of_words(row[words], name) if words else Post.from_text(str(row[wanted] or ""), id=name)
        kept = keep_picture(row[picture], f"{split}-{number}", folder) if picture else None
        yield replace(post, image_id=kept.stem, picture=folder / kept) if kept else post


def of_words(words: Sequence[object] | None, name: str) -> Post:
    tokens = tuple(escape_word(str(word)) for word in words or ())
    text, offsets = join_words(tokens)
    return Post(name, text, tokens, offsets)
