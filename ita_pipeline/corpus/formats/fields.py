"""The fields of a post, as a line of JSON has them: how a post is read from them, and written as them.

Other formats translate their posts to these fields, so that the same rules check all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ita_pipeline.core.errors import nearest
from ita_pipeline.core.files import join_inside
from ita_pipeline.core.text import format_count, map_texts
from ita_pipeline.corpus.boxes import MAX_BOXES
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats import schemes
from ita_pipeline.corpus.formats.schemes import TAGS_HINT, decode_tags, is_tag
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import ParsedPost, Picture, Post, Span, Split, join_words, select_taggable
from ita_pipeline.corpus.tokenizer import tokenize
from ita_pipeline.sources.classify import is_image_name
from ita_pipeline.sources.hub_datasets import SPLIT_ALIASES
from stages.base import describe_invalid, replace_surrogates

OTHER_TAGS = ("ner_tags", "labels", "label")

OFFSETS = "start and end count characters of the text, not bytes; end is exclusive"

FIELDS = "docs/datasets.md lists the fields of a line"

Offsets = tuple[tuple[int, int], ...]

Pixel = Annotated[float, Field(allow_inf_nan=False)]


class _InvalidPostError(ValueError):
    """What is wrong with a post, and how to fix it."""

    def __init__(self, reason: str, hint: str = FIELDS) -> None:
        super().__init__(reason)
        self.hint = hint


class MentionEntry(BaseModel):
    """A mention. `text`, if given, must be the text at its offsets, which detects offsets that count bytes."""

    start: int = Field(ge=0)
    end: int
    type: str = Field(pattern=r"^[\w./:&+-]+$")
    text: str | None = None
    boxes: list[tuple[Pixel, Pixel, Pixel, Pixel]] | None = Field(None, max_length=MAX_BOXES)

    @model_validator(mode="after")
    def _check_not_empty(self) -> MentionEntry:
        if self.end <= self.start:
            raise ValueError("its end must be greater than its start")
        if any(x0 >= x1 or y0 >= y1 for x0, y0, x1, y1 in self.boxes or ()):
            raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self


class PostLine(BaseModel):
    """One line. Other fields are ignored."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str | None = None
    text: str | None = None
    tokens: list[str] | None = None
    tags: list[str] | None = None
    mentions: list[MentionEntry] | None = None
    image: str | None = None
    images: list[str] = []
    split: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _rename_fields(cls, data: object) -> object:
        """Read words in `text`, and tags under the names that other projects give them."""
        if not isinstance(data, dict):
            raise ValueError("it is not a JSON object")
        fields = cast("dict[str, Any]", dict(data))
        if isinstance(fields.get("text"), list):
            fields.setdefault("tokens", fields.pop("text"))
        tags = next((fields[name] for name in OTHER_TAGS if isinstance(fields.get(name), list)), None)
        if tags is not None and "tokens" in fields and "mentions" not in fields:
            fields.setdefault("tags", tags)
        if fields.get("images") is None:
            fields.pop("images", None)
        return fields

    @model_validator(mode="after")
    def _check_tokens(self) -> PostLine:
        if self.text is None and not self.tokens:
            raise ValueError("it has neither text nor tokens")
        if self.tags is not None and len(self.tags) != len(self.tokens or ()):
            raise ValueError(
                f"it needs as many tags as tokens, but has {len(self.tags)} and {len(self.tokens or ())}"
            )
        if any(not is_tag(tag) for tag in self.tags or ()):
            raise ValueError(TAGS_HINT)
        if any(not token.strip() or token.split() != [token] for token in self.tokens or ()):
            raise ValueError("tokens must not be empty or contain white space")
        return self


def parse_fields(
    fields: Any, number: int, where: str, folder: Path, types: Mapping[str, str] | None = None
) -> ParsedPost:
    """Build a post from the fields of a line, or of a post of another format. Without an id, it is the number.

    Raises:
        LineError: a field is missing or invalid.
    """
    try:
        line = PostLine.model_validate(map_texts(fields, replace_surrogates))
        return _build_post(line, number, folder, types or {})
    except ValidationError as error:
        reason = describe_invalid(error)
        kind = FindingKind.BAD_TAG if reason == TAGS_HINT else FindingKind.BAD_LINE
        raise LineError(kind, where, number, reason, FIELDS) from error
    except RecursionError as error:
        raise LineError(FindingKind.BAD_LINE, where, number, "its objects are nested too deeply", FIELDS) from error
    except ValueError as error:
        raise LineError(FindingKind.BAD_LINE, where, number, str(error), getattr(error, "hint", FIELDS)) from error


def format_fields(post: Post, split: str | None, as_text: bool = False) -> dict[str, Any]:
    """The fields of a line that reads as this post.

    Words with tags if they express all that the post holds and `as_text` is not set. Otherwise the text, with its
    mentions, and with its words only where the rule for raw text divides it in another way. The name of a picture
    without a file may be an id, which gets an ending.
    """
    fields: dict[str, Any] = {"id": post.id} | ({"split": split} if split else {})
    gold = post.gold or ()
    has_boxes = any(span.boxes is not None for span in gold)
    is_joined = post.text == " ".join(post.words)
    if not as_text and is_joined and not has_boxes and select_taggable(gold) == sorted(gold):
        fields["tokens"] = list(post.words)
        if post.gold is not None:
            fields["tags"] = schemes.encode_bio(len(post.words), post.gold)
    else:
        fields["text"] = post.text
        if tuple(tokenize(post.text)) != post.offsets:
            fields["tokens"] = list(post.words)
        if post.gold is not None:
            fields["mentions"] = [format_mention(post, span) for span in gold]
    names = [one.name if one.file or is_image_name(one.name) else f"{one.name}.jpg" for one in post.pictures]
    if names:
        fields |= {"image": names[0]} if len(names) == 1 else {"images": names}
    return fields


def format_mention(post: Post, span: Span) -> dict[str, Any]:
    """The fields of a mention, by its characters."""
    start, end = post.characters(span)
    fields: dict[str, Any] = {"start": start, "end": end, "type": span.type}
    return fields if span.boxes is None else fields | {"boxes": [list(box) for box in span.boxes]}


def _build_post(line: PostLine, number: int, folder: Path, types: Mapping[str, str]) -> ParsedPost:
    text, offsets = _find_words(line)
    gold = None
    if line.tags is not None:
        gold = tuple(decode_tags(line.tags, types))
    elif line.mentions is not None:
        gold = _align_mentions(line.mentions, text, offsets, types)
    names = dict.fromkeys(name for name in (line.image, *line.images) if name)
    post = Post(
        id=line.id or str(number),
        text=text,
        words=tuple(text[start:end] for start, end in offsets),
        offsets=offsets,
        gold=gold,
        pictures=tuple(Picture(name, _resolve_image(folder, name)) for name in names),
    )
    return ParsedPost(post, _resolve_split(line.split), tuple(line.tags or ()))


def _find_words(line: PostLine) -> tuple[str, Offsets]:
    """The text of a line and the offsets of its words."""
    if line.text is None:
        return join_words(tuple(line.tokens or ()))
    if line.tokens is None:
        return line.text, tuple(tokenize(line.text))
    offsets, position = [], 0
    for token in line.tokens:
        start = line.text.find(token, position)
        skipped = line.text[position : start if start >= 0 else None]
        if start < 0 or _has_word(skipped):
            raise _tokens_error(f"the token {token!r}", skipped)
        position = start + len(token)
        offsets.append((start, position))
    if _has_word(line.text[position:]):
        raise _tokens_error("the end of tokens", line.text[position:])
    return line.text, tuple(offsets)


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _tokens_error(expected: str, found: str) -> _InvalidPostError:
    shown = found.strip()[:40]
    reason = f"text and tokens disagree: {expected} should follow, but the text has {shown!r}"
    return _InvalidPostError(reason, "correct one of them, or leave text out")


def _align_mentions(
    mentions: Sequence[MentionEntry], text: str, offsets: Offsets, types: Mapping[str, str]
) -> tuple[Span, ...]:
    """Convert offsets of characters to spans of words. A mention that cuts a word is partial."""
    spans: dict[Span, Span] = {}
    for mention in mentions:
        position = f"{mention.start}–{mention.end}"
        if mention.end > len(text):
            reason = (
                f"the mention at {position} ends after the text, which has {format_count(len(text), 'character')}"
            )
            raise _InvalidPostError(reason, OFFSETS)
        if mention.text is not None and mention.text != text[mention.start : mention.end]:
            found = text[mention.start : mention.end]
            raise _InvalidPostError(f"the text at {position} is {found!r}, not {mention.text!r}", OFFSETS)
        covered = [i for i, (start, end) in enumerate(offsets) if start < mention.end and end > mention.start]
        if not covered:
            raise _InvalidPostError(f"the mention at {position} covers no word", OFFSETS)
        first, last = covered[0], covered[-1]
        partial = offsets[first][0] < mention.start or mention.end < offsets[last][1]
        boxes = None if mention.boxes is None else tuple(mention.boxes)
        characters = (mention.start, mention.end) if partial else None
        span = Span(first, last + 1, types.get(mention.type, mention.type), partial, boxes, characters)
        if span in spans and boxes is not None:  # an annotation of each box repeats the mention
            span = replace(span, boxes=tuple(dict.fromkeys((*(spans[span].boxes or ()), *boxes))))
        elif span in spans:
            continue
        spans[span] = span
    return tuple(sorted(spans.values()))


def _resolve_image(folder: Path, image: str) -> Path:
    path = join_inside(folder, image)
    if path is None:
        hint = "move the picture into the folder, or make a link to it there"
        raise _InvalidPostError(f"the picture {image!r} is outside the folder of the file", hint)
    return path


def _resolve_split(name: str | None) -> Split | None:
    split: Any = SPLIT_ALIASES.get(name, name) if name is not None else None
    if split not in (None, "train", "dev", "test"):
        hint = nearest(str(name), ("train", "dev", "test")) or "write train, dev or test, or leave split out"
        raise _InvalidPostError(f"there is no split {name!r}", hint)
    return split
