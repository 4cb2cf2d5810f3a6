"""CoNLL files of tweets: `IMGID:<id>`, then a word and its tag a line, a blank line between tweets.

The reader accepts tabs or spaces, LF or CRLF, a byte order mark, and files without `IMGID:` lines or without tags.
Only tabs and spaces divide columns; other white space is part of words. `-DOCSTART-` lines and comments such as
`# id = 3` are passed over, and a first column that numbers the words of each sentence is no word.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import MAX_TEXT_BYTES, read_regular
from ita_pipeline.core.text import decode_text
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats.schemes import (
    CONTEXT_TAGS,
    decode_tags,
    encode_bio,
    find_orphans,
    find_scheme,
    is_tag,
)
from ita_pipeline.corpus.line_errors import LineError, OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import ParsedPost, Picture, Post, Span
from stages.picture_names import strip_image_suffix

ID_PREFIXES = ("IMGID:", "WID:")

DOCUMENT = "-DOCSTART-"

_COMMENT = re.compile(r"# +(?:new(?:doc|par)\b|[^\s=]+ *=)[^\t]*")

# The first column of a line of CoNLL-U that is no word: the letters of several words, or a word that is not there.
_RANGE = re.compile(r"\d+[-.]\d+")

ORPHANS = "it is read as the start of a mention, as conlleval does; B- avoids this"

COLUMNS = (
    "a line is a word, a tab, and O, B-TYPE or I-TYPE; if they stand in other columns, the dataset's card says so: "
    "columns: {token: 1, tag: -1}; if the line names a picture or post: id_prefix: IMGID:"
)

# Kinds of archives: where they have which bytes, and the command that unpacks them.
ARCHIVES = (
    ("ZIP archive", 0, b"PK\x03\x04", "unzip"),
    ("gzip file", 0, b"\x1f\x8b", "gunzip"),
    ("bzip2 file", 4, b"1AY&SY", "bunzip2"),
    ("xz file", 0, b"\xfd7zXZ", "unxz"),
    ("tar archive", 257, b"ustar", "tar -xf"),
)

REPLACEMENT = "\ufffd"

SAFE_ID = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file has what: the columns of words and of tags, from 0 or from -1 backward, and what ids begin with.

    Without a column of words, it is the first that does not number them.
    """

    token: int | None = None
    tag: int = -1
    id_prefixes: tuple[str, ...] = ID_PREFIXES


DEFAULT_LAYOUT = Layout()


@dataclass
class TaggedSentence:
    """The lines of one tweet."""

    image_id: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_conll(
    path: Path,
    types: Mapping[str, str] | None = None,
    on_error: OnLineError = raise_unless_tolerated,
    layout: Layout = DEFAULT_LAYOUT,
) -> list[Post]:
    """Read the posts of a file. `types` renames types, such as OTHER to MISC.

    A file of predictions has the gold tags in column -2. If `on_error` returns, a bad tag counts as O.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag.
    """
    return [parsed.post for parsed in parse_file(path, types or {}, on_error, layout)]


def parse_file(
    path: Path, types: Mapping[str, str], on_error: OnLineError, layout: Layout = DEFAULT_LAYOUT
) -> Iterator[ParsedPost]:
    """Read the posts of a file with their tags, as `read_conll` does."""
    sentences = list(read_sentences(path, on_error, layout))
    is_iob1 = find_scheme((sentence.tags for sentence in sentences), types) == "IOB1"
    for number, sentence in enumerate(sentences, 1):
        post = _build_post(sentence, number, path, types, on_error)
        for orphan in find_orphans(sentence.tags, types) if not is_iob1 else ():
            reason = f"{sentence.tags[orphan]} of {post.words[orphan]!r} continues no mention"
            on_error(LineError(FindingKind.ORPHAN_TAG, str(path), sentence.lines[orphan], reason, ORPHANS))
        yield ParsedPost(post, tags=tuple(sentence.tags))


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark, and with any line ends.

    Raises:
        MissingError: the file cannot be read.
        UsageError: the file is an archive, or not UTF-8.
    """
    try:
        content = read_regular(path, MAX_TEXT_BYTES)
        for kind, position, mark, command in ARCHIVES:
            if content.startswith(mark, position):
                raise UsageError(f"{path} is a {kind}, not a text file", f"{command} {shlex.quote(str(path))}")
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", f"ls -l {path}") from error
    return decode_text(content, str(path)).replace("\r\n", "\n").replace("\r", "\n")


def read_sentences(
    path: Path,
    on_error: OnLineError = raise_unless_tolerated,
    layout: Layout = DEFAULT_LAYOUT,
    contexts: bool = False,
) -> Iterator[TaggedSentence]:
    """Words and tags of each tweet. Without `contexts`, the tag of a context's word is an error."""
    blocks = list(_read_blocks(path, layout.id_prefixes))
    numbered = layout.token is None and _are_numbered(blocks)
    token = int(numbered) if layout.token is None else layout.token
    for image_id, rows in blocks:
        sentence = TaggedSentence(image_id)
        for number, columns in rows:
            if numbered and _RANGE.fullmatch(columns[0]):
                continue
            position, tag_position = (n if n >= 0 else len(columns) + n for n in (token, layout.tag))
            if not 0 <= position < len(columns):
                reason = f"there is no column {token} for the word"
                on_error(LineError(FindingKind.BAD_LINE, str(path), number, reason, COLUMNS))
                continue
            has_tag = 0 <= tag_position < len(columns) and tag_position != position
            tag = _check_tag(columns[tag_position] if has_tag else "", contexts, str(path), number, on_error)
            # A line with a tag but no word, as some programs write a word of white space, still counts as a word.
            sentence.words.append(columns[position] or REPLACEMENT)
            sentence.tags.append(tag)
            sentence.lines.append(number)
        if sentence.words:
            yield sentence


_Block = tuple[str | None, list[tuple[int, list[str]]]]
"""The lines of one tweet: its image id, and each line's number and columns."""


def _read_blocks(path: Path, prefixes: Sequence[str]) -> Iterator[_Block]:
    image_id: str | None = None
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip(" \t\r")
        columns = _split_columns(line)
        prefix = next((prefix for prefix in prefixes if _is_image_line(line, columns, prefix)), None)
        if line.strip() and prefix is None and columns[0] != DOCUMENT:
            if not _COMMENT.fullmatch(line):
                rows.append((number, columns))
            continue
        if rows:
            yield image_id, rows
            image_id, rows = None, []
        if prefix is not None:
            image_id = _parse_image_id(line, prefix, path, number)
    yield image_id, rows


def _split_columns(line: str) -> list[str]:
    if "\t" in line:
        return [column.strip(" ") for column in line.split("\t")]
    return re.split(" +", line.strip(" "))


def _are_numbered(blocks: Sequence[_Block]) -> bool:
    """Whether the first of three or more columns counts the words of each tweet."""
    for _, rows in blocks:
        numbers = [columns[0] for _, columns in rows if not _RANGE.fullmatch(columns[0])]
        first = int(numbers[:1] != ["0"])
        if numbers != [str(n) for n in range(first, first + len(numbers))]:
            return False
    return any(len(rows) > 1 for _, rows in blocks) and all(len(c) > 2 for _, rows in blocks for _, c in rows)


def _is_image_line(line: str, columns: Sequence[str], prefix: str) -> bool:
    """Whether a line is `IMGID:<id>`, and not a word of that form with its tag."""
    others = [column for column in columns[1:] if column]
    is_tagged = any(tag in CONTEXT_TAGS or is_tag(tag) for tag in others[-1:])
    return line.startswith(prefix) and ("\t" not in line or not others) and not is_tagged


def _parse_image_id(line: str, prefix: str, path: Path, number: int) -> str:
    name = line.removeprefix(prefix).strip()
    if not SAFE_ID.fullmatch(name):
        what = f"{path}, line {number}: {name!r} is not the name of a picture"
        raise UsageError(what, f"{prefix} and the name of a file without its ending")
    return strip_image_suffix(name)


def _check_tag(tag: str, contexts: bool, file: str, number: int, on_error: OnLineError) -> str:
    """The tag, or O after an error."""
    if tag in CONTEXT_TAGS and not contexts:
        reason = f"{tag!r} marks a word of a context, not of the tweet"
        hint = f"ita data import {file} --to FOLDER separates tweets and contexts"
        on_error(LineError(FindingKind.CONTEXT_TAG, file, number, reason, hint))
        return "O"
    if tag and tag not in CONTEXT_TAGS and not is_tag(tag):
        on_error(LineError(FindingKind.BAD_TAG, file, number, f"{tag!r} is not a BIO tag", COLUMNS))
        return "O"
    return tag


def _build_post(
    sentence: TaggedSentence, number: int, path: Path, types: Mapping[str, str], on_error: OnLineError
) -> Post:
    words, tags, lines = tuple(sentence.words), sentence.tags, sentence.lines
    if any(tags) and not all(tags):
        first = tags.index("")
        reason = f"{words[first]!r} has no tag, while other words of the tweet have one"
        hint = "give all words a tag, O where there is no mention"
        on_error(LineError(FindingKind.MISSING_TAG, str(path), lines[first], reason, hint))
    gold = tuple(decode_tags(tags, types)) if all(tags) else None
    pictures = (Picture(sentence.image_id),) if sentence.image_id else ()
    return replace(Post.from_words(sentence.image_id or str(number), words, gold), pictures=pictures)


def _escape_column(word: str) -> str:
    """Replace characters that would end the word's column or line, or start a document."""
    return "DOCSTART" if word == DOCUMENT else re.sub(r"[\t\r\n]+", "_", word.strip("\t\r\n")) or REPLACEMENT


def format_conll(posts: Iterable[tuple[Post, Sequence[Span]]]) -> str:
    """Format posts with predicted mentions: word, gold tag if there is one, predicted tag, separated by tabs."""
    blocks = []
    for post, predicted in posts:
        columns = [[_escape_column(word) for word in post.words]]
        if post.gold is not None:
            columns.append(encode_bio(len(post.words), post.gold))
        columns.append(encode_bio(len(post.words), predicted))
        lines = [f"IMGID:{post.image_id}"] if post.image_id else []
        lines += ["\t".join(row) for row in zip(*columns, strict=True)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
