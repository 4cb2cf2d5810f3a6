"""CoNLL files of tweets: `IMGID:<id>`, then a word and its BIO tag a line, a blank line between tweets.

Read are: tabs or spaces, LF or CRLF, with or without `IMGID:` lines and byte order mark, and files without tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.line_errors import LineError, LineErrorKind, OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import Post, Span, join_words

TAG = re.compile(r"(?:O|[BI]-\S+)")

# How ITA (B-X), its IOBES form (S-X), AdaSeq and PGIM (X) mark the words of a context behind a tweet.
CONTEXT_TAGS = frozenset({"X", "B-X", "S-X", "I-X"})

ORPHANS = "it is read as the beginning of one, as conlleval does; B- says so"

TO_UTF8 = "iconv -f latin1 -t utf-8 FILE > NEW, or from whatever it is in"

SAFE_ID = re.compile(r"[^/\\\x00]+")


@dataclass
class TaggedSentence:
    """Lines of one tweet as they are collected."""

    image_id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """Which column holds the tags, and whether words of a context, with tags of their own, are expected."""

    column: int = -1
    contexts: bool = False


LAST_COLUMN = ColumnLayout()


def read_conll(
    path: Path,
    types: Mapping[str, str] | None = None,
    on_error: OnLineError = raise_unless_tolerated,
    column: int = -1,
) -> list[Post]:
    """The posts of a file; `types` renames types, such as OTHER to MISC. Tags are those of the last column, or of
    another: a file of predictions has the gold ones in column -2.

    `on_error` is called with every faulty line. Where it raises nothing, a bad tag counts as O.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag; says which.
    """
    found = parse_sentences(read_text(path), path, on_error, ColumnLayout(column))
    return [build_post(sentence, number, path, types or {}, on_error) for number, sentence in enumerate(found, 1)]


def read_text(path: Path) -> str:
    """
    Raises:
        MissingError: the file cannot be read.
        UsageError: it is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", TO_UTF8) from error


def parse_sentences(
    text: str, path: Path, on_error: OnLineError = raise_unless_tolerated, layout: ColumnLayout = LAST_COLUMN
) -> Iterator[TaggedSentence]:
    """Words and tags of each tweet; tags of a context's words are a fault unless the layout expects them."""
    current = TaggedSentence()
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if is_image_line(line):
            if current.words:
                yield current
            current = TaggedSentence(image_id=image_id(line, path, number))
        elif not line.strip():
            if current.words:
                yield current
            current = TaggedSentence() if current.words else current
        else:
            add_word(current, line, path, number, on_error, layout)
    if current.words:
        yield current


def is_image_line(line: str) -> bool:
    """Whether a line is `IMGID:<id>`, and not a word of that look with its tag."""
    columns = line.split("\t") if "\t" in line else line.split()
    others = [column.strip() for column in columns[1:] if column.strip()]
    return line.startswith("IMGID:") and ("\t" not in line or not others) and not any(map(is_tag, others[-1:]))


def is_tag(text: str) -> bool:
    return text in CONTEXT_TAGS or TAG.fullmatch(text) is not None


def image_id(line: str, path: Path, number: int) -> str:
    name = line.removeprefix("IMGID:").strip()
    if not SAFE_ID.fullmatch(name) or name in (".", ".."):
        raise UsageError(
            f"{path}, line {number}: {name!r} is no name of a picture",
            "IMGID: and the name of a file without its ending",
        )
    return name


def add_word(
    sentence: TaggedSentence, line: str, path: Path, number: int, on_error: OnLineError, layout: ColumnLayout
) -> None:
    columns = line.split("\t") if "\t" in line else line.split()
    word, tag = columns[0].strip(), columns[layout.column].strip() if len(columns) > -layout.column else ""
    fault = None if layout.contexts and tag in CONTEXT_TAGS else check_tag(tag, path, number)
    if fault is not None:
        on_error(fault)
        tag = "O"
    # A line that is only a tag's column, as a word of odd white space leaves it, still counts as a word.
    sentence.words.append(word or "\ufffd")
    sentence.tags.append(tag)
    sentence.lines.append(number)


def check_tag(tag: str, path: Path, number: int) -> LineError | None:
    """What is wrong with a tag, if anything; none at all is nothing wrong, for prediction needs none."""
    if tag in CONTEXT_TAGS:
        return LineError(
            LineErrorKind.CONTEXT_TAG,
            str(path),
            number,
            f"{tag!r} marks a word of a context, not of the tweet",
            f"ita data import {path} --to FOLDER takes tweets and contexts apart",
        )
    if tag and not TAG.fullmatch(tag):
        hint = "a line is a word, a tab, and O, B-TYPE or I-TYPE"
        return LineError(LineErrorKind.BAD_TAG, str(path), number, f"{tag!r} is no BIO tag", hint)
    return None


def build_post(
    sentence: TaggedSentence,
    number: int,
    path: Path,
    types: Mapping[str, str],
    on_error: OnLineError = raise_unless_tolerated,
) -> Post:
    words = tuple(sentence.words)
    text, offsets = join_words(words)
    if any(sentence.tags) and not all(sentence.tags):
        bare = sentence.tags.index("")
        reason = f"{words[bare]!r} has no tag, while other words of the tweet have one"
        hint = "give all words a tag, O where there is no mention"
        on_error(LineError(LineErrorKind.MISSING_TAG, str(path), sentence.lines[bare], reason, hint))
    for orphan in find_orphans(sentence.tags, types):
        tag, line = sentence.tags[orphan], sentence.lines[orphan]
        reason = f"{tag} of {words[orphan]!r} continues no mention"
        on_error(LineError(LineErrorKind.ORPHAN_TAG, str(path), line, reason, ORPHANS))
    gold = tuple(decode_bio(sentence.tags, types)) if all(sentence.tags) else None
    return Post(
        id=sentence.image_id or str(number),
        text=text,
        words=words,
        offsets=offsets,
        gold=gold,
        image_id=sentence.image_id,
    )


def decode_bio(tags: Sequence[str], types: Mapping[str, str]) -> Iterator[Span]:
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


def find_orphans(tags: Sequence[str], types: Mapping[str, str]) -> list[int]:
    """Places of `I-x` that continue no mention of type x."""
    found: list[int] = []
    before = ""
    for place, tag in enumerate(tags):
        prefix, _, name = tag.partition("-")
        name = types.get(name, name)
        if prefix == "I" and name != before:
            found.append(place)
        before = name
    return found


def encode_bio(length: int, spans: Iterable[Span]) -> list[str]:
    """BIO tags of mentions that do not overlap."""
    tags = ["O"] * length
    for span in spans:
        tags[span.start : span.end] = [f"B-{span.type}"] + [f"I-{span.type}"] * (span.end - span.start - 1)
    return tags


def escape_column(word: str) -> str:
    """A word without what would end its column or its line."""
    return re.sub(r"[\t\r\n]+", "_", word.strip("\t\r\n")) or "\ufffd"


def format_conll(posts: Iterable[tuple[Post, Sequence[Span]]]) -> str:
    """Posts with predicted mentions: word, gold tag where there is one, predicted tag; tabs between."""
    blocks = []
    for post, predicted in posts:
        columns = [tuple(map(escape_column, post.words))]
        if post.gold is not None:
            columns.append(tuple(encode_bio(len(post.words), post.gold)))
        columns.append(tuple(encode_bio(len(post.words), predicted)))
        lines = [f"IMGID:{post.image_id}"] if post.image_id else []
        lines += ["\t".join(row) for row in zip(*columns, strict=True)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
