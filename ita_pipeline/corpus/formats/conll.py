"""CoNLL files of tweets: `IMGID:<id>`, then a word and its BIO tag a line, a blank line between tweets.

The reader accepts tabs or spaces, LF or CRLF, a byte order mark, and files without `IMGID:` lines or without tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.line_errors import LineError, LineErrorKind, OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import ParsedPost, Picture, Post, Span, select_taggable

TAG = re.compile(r"(?:O|[BI]-\S+)")

# How ITA (B-X), its IOBES form (S-X), AdaSeq and PGIM (X) tag the words of a context that follows a tweet.
CONTEXT_TAGS = frozenset({"X", "B-X", "S-X", "I-X"})

ORPHANS = "it is read as the beginning of one, as conlleval does; B- says so"

TO_UTF8 = "iconv -f latin1 -t utf-8 FILE > NEW, or from whatever it is in"

REPLACEMENT = "\ufffd"

SAFE_ID = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00]+")


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
    column: int = -1,
) -> list[Post]:
    """Read the posts of a file. `types` renames types, such as OTHER to MISC.

    `column` holds the tags: a file of predictions has the gold tags in column -2. If `on_error` returns, a bad tag
    counts as O.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is neither a word nor a word and a tag.
    """
    sentences = read_sentences(path, on_error, column)
    return [_build_post(sentence, n, path, types or {}, on_error) for n, sentence in enumerate(sentences, 1)]


def parse_file(path: Path, types: Mapping[str, str], on_error: OnLineError) -> Iterator[ParsedPost]:
    """Read the posts of a file, as `read_conll` does."""
    return map(ParsedPost, read_conll(path, types, on_error))


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        MissingError: the file cannot be read.
        UsageError: the file is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", TO_UTF8) from error


def read_sentences(
    path: Path, on_error: OnLineError = raise_unless_tolerated, column: int = -1, contexts: bool = False
) -> Iterator[TaggedSentence]:
    """Words and tags (in `column`) of each tweet. Without `contexts`, the tag of a context's word is an error."""
    sentence = TaggedSentence()
    for number, line in enumerate(read_text(path).split("\n"), 1):
        line = line.rstrip("\r")
        if line.strip() and not _is_image_line(line):
            columns = _split_columns(line)
            tag = columns[column].strip() if len(columns) > -column else ""
            # A line with a tag but no word, as a word of unusual white space leaves it, still counts as a word.
            sentence.words.append(columns[0].strip() or REPLACEMENT)
            sentence.tags.append(_check_tag(tag, contexts, str(path), number, on_error))
            sentence.lines.append(number)
            continue
        if sentence.words:
            yield sentence
            sentence = TaggedSentence()
        if line.strip():
            sentence = TaggedSentence(image_id=_parse_image_id(line, path, number))
    if sentence.words:
        yield sentence


def _split_columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _is_image_line(line: str) -> bool:
    """Whether a line is `IMGID:<id>`, and not a word of that form with its tag."""
    others = [column.strip() for column in _split_columns(line)[1:] if column.strip()]
    is_tagged = any(tag in CONTEXT_TAGS or TAG.fullmatch(tag) for tag in others[-1:])
    return line.startswith("IMGID:") and ("\t" not in line or not others) and not is_tagged


def _parse_image_id(line: str, path: Path, number: int) -> str:
    name = line.removeprefix("IMGID:").strip()
    if not SAFE_ID.fullmatch(name):
        what = f"{path}, line {number}: {name!r} is no name of a picture"
        raise UsageError(what, "IMGID: and the name of a file without its ending")
    return name


def _check_tag(tag: str, contexts: bool, file: str, number: int, on_error: OnLineError) -> str:
    """The tag, or O after an error."""
    if tag in CONTEXT_TAGS and not contexts:
        reason = f"{tag!r} marks a word of a context, not of the tweet"
        hint = f"ita data import {file} --to FOLDER takes tweets and contexts apart"
        on_error(LineError(LineErrorKind.CONTEXT_TAG, file, number, reason, hint))
        return "O"
    if tag and tag not in CONTEXT_TAGS and not TAG.fullmatch(tag):
        hint = "a line is a word, a tab, and O, B-TYPE or I-TYPE"
        on_error(LineError(LineErrorKind.BAD_TAG, file, number, f"{tag!r} is no BIO tag", hint))
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
        on_error(LineError(LineErrorKind.MISSING_TAG, str(path), lines[first], reason, hint))
    for orphan in find_orphans(tags, types):
        reason = f"{tags[orphan]} of {words[orphan]!r} continues no mention"
        on_error(LineError(LineErrorKind.ORPHAN_TAG, str(path), lines[orphan], reason, ORPHANS))
    gold = tuple(decode_bio(tags, types)) if all(tags) else None
    pictures = (Picture(sentence.image_id),) if sentence.image_id else ()
    return replace(Post.from_words(sentence.image_id or str(number), words, gold), pictures=pictures)


def decode_bio(tags: Sequence[str], types: Mapping[str, str]) -> Iterator[Span]:
    """Mentions of BIO tags. An `I-x` that continues no mention of type x starts one, as in UMT and ITA."""
    start: int | None = None
    current = ""
    for position, (prefix, name) in enumerate(_split_tag(tag, types) for tag in [*tags, "O"]):
        if start is not None and not (prefix == "I" and name == current):
            yield Span(start, position, current)
            start = None
        if prefix != "O" and start is None:
            start, current = position, name


def find_orphans(tags: Sequence[str], types: Mapping[str, str]) -> list[int]:
    """Positions of each `I-x` that continues no mention of type x."""
    parts = [_split_tag(tag, types) for tag in tags]
    previous = ["", *(name for _, name in parts)]
    return [n for n, (prefix, name) in enumerate(parts) if prefix == "I" and name != previous[n]]


def _split_tag(tag: str, types: Mapping[str, str]) -> tuple[str, str]:
    """The prefix of a tag, and its type, renamed by `types`."""
    prefix, _, name = tag.partition("-")
    return prefix, types.get(name, name)


def encode_bio(length: int, spans: Iterable[Span]) -> list[str]:
    """BIO tags of the mentions that tags can express."""
    tags = ["O"] * length
    for span in select_taggable(spans):
        tags[span.start : span.end] = [f"B-{span.type}"] + [f"I-{span.type}"] * (span.end - span.start - 1)
    return tags


def _escape_column(word: str) -> str:
    """Replace what would end the word's column or line."""
    return re.sub(r"[\t\r\n]+", "_", word.strip("\t\r\n")) or REPLACEMENT


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
