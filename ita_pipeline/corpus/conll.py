"""CoNLL files of tweets: `IMGID:<id>`, then a word and its BIO tag a line, a blank line between tweets.

Read are: tabs or spaces, LF or CRLF, with or without `IMGID:` lines and byte order mark, and files without tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.corpus.posts import Post, Span, joined
from ita_pipeline.errors import MissingError, UsageError

TAG = re.compile(r"(?:O|[BI]-\S+)")
SAFE_ID = re.compile(r"[^/\\\x00]+")


@dataclass
class Sentence:
    """Lines of one tweet as they are collected."""

    image_id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read_conll(path: Path, types: Mapping[str, str] | None = None, column: int = -1) -> list[Post]:
    """The posts of a file; `types` renames types, such as OTHER to MISC. Tags are those of the last column, or of
    another: a file of predictions has the gold ones in column -2.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag; says which.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error
    return [
        as_post(sentence, number, types or {}) for number, sentence in enumerate(sentences(text, path, column), 1)
    ]


def sentences(text: str, path: Path, column: int = -1) -> Iterator[Sentence]:
    current = Sentence()
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if line.startswith("IMGID:") and not line.partition("\t")[2].strip():
            if current.words:
                yield current
            current = Sentence(image_id=image_id(line, path, number))
        elif not line.strip():
            if current.words:
                yield current
            current = Sentence() if current.words else current
        else:
            add_word(current, line, path, number, column)
    if current.words:
        yield current


def image_id(line: str, path: Path, number: int) -> str:
    name = line.removeprefix("IMGID:").strip()
    if not SAFE_ID.fullmatch(name) or name in (".", ".."):
        raise UsageError(f"{path}, line {number}: {name!r} is no name of a picture")
    return name


def add_word(sentence: Sentence, line: str, path: Path, number: int, column: int) -> None:
    columns = line.split("\t") if "\t" in line else line.split()
    word, tag = columns[0].strip(), columns[column].strip() if len(columns) > -column else ""
    if tag and not TAG.fullmatch(tag):
        raise UsageError(
            f"{path}, line {number}: {tag!r} is no BIO tag",
            "a line is a word, a tab, and O, B-TYPE or I-TYPE",
        )
    # A line that is only a tag's column, as a word of odd white space leaves it, still counts as a word.
    sentence.words.append(word or "\ufffd")
    sentence.tags.append(tag)


def as_post(sentence: Sentence, number: int, types: Mapping[str, str]) -> Post:
    words = tuple(sentence.words)
    text, offsets = joined(words)
    gold = tuple(bio_spans(sentence.tags, types)) if all(sentence.tags) else None
    return Post(
        id=sentence.image_id or str(number),
        text=text,
        words=words,
        offsets=offsets,
        gold=gold,
        image_id=sentence.image_id,
    )


def bio_spans(tags: Sequence[str], types: Mapping[str, str]) -> Iterator[Span]:
    """Mentions of BIO tags. An `I-x` that continues no mention of type x starts one, as UMT and ITA read it."""
    start: int | None = None
    current = ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        name = types.get(name, name)
        if start is not None and not (prefix == "I" and name == current):
            yield Span(start, position, current)
            start = None
        if prefix != "O" and start is None:
            start, current = position, name


def bio_tags(length: int, spans: Iterable[Span]) -> list[str]:
    """BIO tags of mentions that do not overlap."""
    tags = ["O"] * length
    for span in spans:
        tags[span.start : span.end] = [f"B-{span.type}"] + [f"I-{span.type}"] * (span.end - span.start - 1)
    return tags


def write_conll(posts: Iterable[tuple[Post, Sequence[Span]]]) -> str:
    """Posts with predicted mentions: word, gold tag where there is one, predicted tag; tabs between."""
    blocks = []
    for post, predicted in posts:
        columns = [post.words]
        if post.gold is not None:
            columns.append(tuple(bio_tags(len(post.words), post.gold)))
        columns.append(tuple(bio_tags(len(post.words), predicted)))
        lines = [f"IMGID:{post.image_id}"] if post.image_id else []
        lines += ["\t".join(row) for row in zip(*columns, strict=True)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
