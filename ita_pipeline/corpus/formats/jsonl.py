"""Posts as JSON lines: `{"text": …, "image": "x.jpg", "mentions": [{"start", "end", "type"}], "split": "train"}`.

Only `text`, or `tokens`, is needed. Mentions are character offsets, end exclusive; with `tokens`, BIO `tags` do
as well. A picture's path is relative to the file's folder and must stay inside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.text import whole_text
from ita_pipeline.corpus.formats.conll import ORPHANS, TAG, TO_UTF8, decode_bio, find_orphans
from ita_pipeline.corpus.line_errors import LineError, LineErrorKind, OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.corpus.tokenizer import tokenize
from ita_pipeline.sources.hub_datasets import ALIASES

Split = Literal["train", "dev", "test"]

BAD_TAGS = "tags are O, B-TYPE or I-TYPE"


class MentionEntry(BaseModel):
    """`text`, where it is given, must be what stands there: it tells offsets of another kind apart."""

    start: int = Field(ge=0)
    end: int
    type: str = Field(pattern=r"^[\w./:&+-]+$")
    text: str | None = None

    @model_validator(mode="after")
    def not_empty(self) -> MentionEntry:
        if self.end <= self.start:
            raise ValueError("a mention must end after it starts")
        return self


class PostLine(BaseModel):
    """One line; fields that are not named here are left alone."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str | None = None
    text: str | None = None
    tokens: list[str] | None = None
    tags: list[str] | None = None
    mentions: list[MentionEntry] | None = None
    image: str | None = None
    split: str | None = None

    @model_validator(mode="after")
    def complete(self) -> PostLine:
        if self.text is None and not self.tokens:
            raise ValueError("it has neither text nor tokens")
        if self.tags is not None and len(self.tags) != len(self.tokens or ()):
            raise ValueError("it needs as many tags as tokens")
        if any(not TAG.fullmatch(tag) for tag in self.tags or ()):
            raise ValueError(BAD_TAGS)
        if any(not token.strip() or token.split() != [token] for token in self.tokens or ()):
            raise ValueError("tokens must not be empty or hold white space")
        return self


@dataclass(frozen=True, slots=True)
class ParsedPost:
    """A post, the split that its line names, and how many mentions were widened to whole words."""

    post: Post
    split: Split | None
    widened: int


def read_jsonl(
    path: Path, types: Mapping[str, str] | None = None, on_error: OnLineError = raise_unless_tolerated
) -> list[ParsedPost]:
    """The posts of a file. `on_error` is called with every faulty line; where it raises nothing, the line is
    left out.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is not such an object; says which and why.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return list(parse_posts(lines, str(path), path.parent, types or {}, on_error))
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", "a file with one post a line") from error


def parse_posts(
    lines: Iterable[str],
    where: str,
    folder: Path,
    types: Mapping[str, str],
    on_error: OnLineError = raise_unless_tolerated,
) -> Iterator[ParsedPost]:
    """Posts of JSON lines, one at a time, so that a pipe is answered as it speaks."""
    number = 0
    try:
        for number, text in enumerate(lines, 1):
            if text.strip() and (found := _read_line(text, number, where, folder, types, on_error)):
                yield found
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}, behind line {number}: this is not UTF-8 text", TO_UTF8) from error


def _read_line(
    text: str, number: int, where: str, folder: Path, types: Mapping[str, str], on_error: OnLineError
) -> ParsedPost | None:
    try:
        line = parse_line(text, number, where)
        found = labelled(line, number, folder, types)
    except LineError as fault:
        on_error(fault)
        return None
    except ValueError as error:
        on_error(LineError(LineErrorKind.BAD_LINE, where, number, str(error), "each line is one JSON object"))
        return None
    for place in find_orphans(line.tags or (), types):
        reason = f"{(line.tags or ())[place]} of {found.post.words[place]!r} continues no mention"
        on_error(LineError(LineErrorKind.ORPHAN_TAG, where, number, reason, ORPHANS))
    return found


def parse_line(text: str, number: int, where: str) -> PostLine:
    """
    Raises:
        LineError: the line is no such object.
    """
    try:
        return PostLine.model_validate(whole(json.loads(text)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")
        kind = LineErrorKind.BAD_TAG if reason == BAD_TAGS else LineErrorKind.BAD_LINE
        raise LineError(kind, where, number, reason, "docs/datasets.md shows what a line holds") from error
    except (ValueError, RecursionError) as error:
        hint = "each line is one JSON object"
        raise LineError(LineErrorKind.BAD_LINE, where, number, str(error), hint) from error


def whole(value: Any) -> Any:
    """Lone surrogates, as a cut emoji leaves them, replaced one for one, so that offsets stay."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {whole(name): whole(item) for name, item in value.items()}
    return value


def labelled(line: PostLine, number: int, folder: Path, types: Mapping[str, str]) -> ParsedPost:
    text, offsets = words_of(line)
    gold, widened = gold_of(line, offsets, types)
    post = Post(
        id=line.id or str(number),
        text=text,
        words=tuple(text[start:end] for start, end in offsets),
        offsets=offsets,
        gold=gold,
        image_id=Path(line.image).stem if line.image else None,
        picture=inside(folder, line.image) if line.image else None,
    )
    return ParsedPost(post, split_of(line), widened)


def words_of(line: PostLine) -> tuple[str, tuple[tuple[int, int], ...]]:
    if line.tokens is None:
        text = line.text or ""
        return text, tuple(tokenize(text))
    if line.text is None:
        return join_words(tuple(line.tokens))
    offsets, position = [], 0
    for token in line.tokens:
        start = line.text.find(token, position)
        if start < 0:
            raise ValueError(f"the token {token!r} does not stand in the text where it should")
        position = start + len(token)
        offsets.append((start, position))
    return line.text, tuple(offsets)


def gold_of(
    line: PostLine, offsets: tuple[tuple[int, int], ...], types: Mapping[str, str]
) -> tuple[tuple[Span, ...] | None, int]:
    if line.tags is not None:
        return tuple(decode_bio(line.tags, types)), 0
    if line.mentions is None:
        return None, 0
    spans: list[Span] = []
    widened = 0
    text = line.text if line.text is not None else " ".join(line.tokens or ())
    for mention in sorted(line.mentions, key=lambda mention: mention.start):
        if mention.end > len(text):
            raise ValueError(f"the mention at {mention.start}–{mention.end} ends behind the text")
        if mention.text is not None and mention.text != text[mention.start : mention.end]:
            raise ValueError(f"at {mention.start}–{mention.end} stands not {mention.text!r}: count characters")
        covered = [i for i, (start, end) in enumerate(offsets) if start < mention.end and end > mention.start]
        if not covered:
            raise ValueError(f"the mention at {mention.start}–{mention.end} covers no word")
        first, last = covered[0], covered[-1]
        if spans and first < spans[-1].end:
            raise ValueError(f"the mention at {mention.start}–{mention.end} shares a word with another")
        widened += (offsets[first][0], offsets[last][1]) != (mention.start, mention.end)
        spans.append(Span(first, last + 1, types.get(mention.type, mention.type)))
    return tuple(spans), widened


def inside(folder: Path, image: str) -> Path:
    """The picture's file.

    Raises:
        ValueError: the path leads out of the folder.
    """
    path = folder / image
    if "\x00" in image or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the picture {image!r} lies outside the folder of the file")
    return path


def split_of(line: PostLine) -> Any:
    if line.split is None:
        return None
    split = ALIASES.get(line.split, line.split)
    if split not in ("train", "dev", "test"):
        raise ValueError(f"the split {line.split!r} is none of train, dev, test")
    return split
