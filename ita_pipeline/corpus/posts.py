"""Posts: words, and where they are known, gold mentions and an image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ita_pipeline.corpus.tokenizer import tokenize
from stages.base import replace_surrogates

Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A mention: the words from `start` up to, not including, `end`.

    `partial` marks a gold mention that begins or ends inside a word. It equals no predicted mention, so it counts
    as missed.
    """

    start: int
    end: int
    type: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """A post. `offsets` are character positions of the words in `text`, end exclusive.

    `gold` is None for an unlabeled post. `image_id` names the image in the dataset; `picture` is its file, or None
    if the file is missing.
    """

    id: str
    text: str
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    gold: tuple[Span, ...] | None = None
    image_id: str | None = None
    picture: Path | None = None

    @classmethod
    def from_text(cls, text: str, picture: Path | str | None = None, id: str = "1") -> Post:  # noqa: A002
        """Split raw text into words with the tweet tokenizer."""
        text = replace_surrogates(text)
        path = Path(picture) if picture is not None else None
        offsets = tuple(tokenize(text))
        words = tuple(text[start:end] for start, end in offsets)
        return cls(id, text, words, offsets, image_id=path.stem if path else None, picture=path)

    @classmethod
    def from_words(cls, post_id: str, words: tuple[str, ...], gold: tuple[Span, ...] | None = None) -> Post:
        """Join words with spaces to the text of a post."""
        text, offsets = join_words(words)
        return cls(post_id, text, words, offsets, gold)


PostWithContexts = tuple[Post, tuple[str, ...]]
"""A post and the rendered contexts of its image. Render once per post, and pass the pair on."""


@dataclass(frozen=True, slots=True)
class ParsedPost:
    """A post from a file, and the split that its line names."""

    post: Post
    split: Split | None = None


def select_taggable(spans: Iterable[Span]) -> list[Span]:
    """Select the mentions that tags can express: those of whole words, and of overlapping ones the longest."""
    selected: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        if not span.partial and all(span.end <= other.start or other.end <= span.start for other in selected):
            selected.append(span)
    return sorted(selected)


def join_words(words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Join words with single spaces. Returns the text and each word's offsets in it."""
    offsets, position = [], 0
    for word in words:
        offsets.append((position, position + len(word)))
        position += len(word) + 1
    return " ".join(words), tuple(offsets)
