"""Posts: words, and where they are known, gold mentions and an image."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ita_pipeline.core.arguments import ArgumentTypeError
from ita_pipeline.core.errors import MissingError
from ita_pipeline.corpus.tokenizer import has_unspaced, tokenize
from stages.base import replace_surrogates
from stages.picture_names import stem_of

Split = Literal["train", "dev", "test"]

Box = tuple[float, float, float, float]
"""xyxy in pixels of the upright image."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A mention: the words from `start` up to, not including, `end`.

    `partial` marks a gold mention that begins or ends inside a word. It equals no predicted mention, so it counts
    as missed. `boxes` are where the post's first picture shows the mention: empty if it does not, None if that is
    not known. `characters` are the offsets of a partial mention in the text. Neither distinguishes mentions.
    """

    start: int
    end: int
    type: str
    partial: bool = False
    boxes: tuple[Box, ...] | None = field(default=None, compare=False)
    characters: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a post: its name in the dataset, a path or an id, and its file, or None if that is missing.

    `size` is width and height in pixels if the dataset tells them. It does not distinguish pictures.
    """

    name: str
    file: Path | None = None
    size: tuple[float, float] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Post:
    """A post. `offsets` are character positions of the words in `text`, end exclusive.

    `gold` is None for an unlabeled post.
    """

    id: str
    text: str
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    gold: tuple[Span, ...] | None = None
    pictures: tuple[Picture, ...] = ()

    def characters(self, span: Span) -> tuple[int, int]:
        """The offsets of a mention in the text, end exclusive."""
        return span.characters or (self.offsets[span.start][0], self.offsets[span.end - 1][1])

    @property
    def picture(self) -> Path | None:
        """The file of the first picture, or None if the post has none, or the file is missing."""
        return self.pictures[0].file if self.pictures else None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all pictures that are there, in order."""
        return tuple(picture.file for picture in self.pictures if picture.file is not None)

    @property
    def image_id(self) -> str | None:
        """The name of the first picture without folders and ending, as other projects name it."""
        return stem_of(self.pictures[0].name) if self.pictures else None

    @classmethod
    def from_text(cls, text: str, picture: Path | str | None = None, id: str = "1") -> Post:  # noqa: A002
        """Split raw text into words with the tweet tokenizer.

        Raises:
            MissingError: the picture is not a file.
        """
        if picture is not None and not Path(picture).is_file():
            is_folder = Path(picture).is_dir()
            what = f"{picture} is a folder, not a picture" if is_folder else f"there is no picture {picture}"
            raise MissingError(what, "give the path of a file, or no picture")
        text = replace_surrogates(text)
        pictures = () if picture is None else (Picture(str(picture), Path(picture)),)
        offsets = tuple(tokenize(text))
        words = tuple(text[start:end] for start, end in offsets)
        return cls(id, text, words, offsets, pictures=pictures)

    @classmethod
    def from_words(cls, post_id: str, words: tuple[str, ...], gold: tuple[Span, ...] | None = None) -> Post:
        """Join words with spaces to the text of a post."""
        text, offsets = join_words(words)
        return cls(post_id, text, words, offsets, gold)

    def without_spaces(self) -> Post:
        """Remove the spaces between words that a file gives one by one, for a script that has none."""
        if self.text != " ".join(self.words):
            return self
        text, offsets = join_words(self.words, unspaced=True)
        return replace(self, text=text, offsets=offsets)


def require_posts(posts: Iterable[Any]) -> Iterator[Post]:
    """Yield posts, and refuse anything else.

    Raises:
        ArgumentTypeError: these are not posts, or one of them is not.
    """
    hint = "ita_pipeline.Post.from_text(text, picture) makes a post of a text"
    if isinstance(posts, str) or not isinstance(posts, Iterable):
        raise ArgumentTypeError(f"predict takes posts, not {posts!r}"[:200], hint)
    for post in posts:
        if not isinstance(post, Post):
            raise ArgumentTypeError(f"predict takes posts, not {post!r}"[:200], hint)
        yield post


PostWithContexts = tuple[Post, tuple[str, ...]]
"""A post and the rendered contexts of its image. Render once per post, and pass the pair on."""


@dataclass(frozen=True, slots=True)
class ParsedPost:
    """A post from a file, the split that its line names, and its tags in the scheme of the file."""

    post: Post
    split: Split | None = None
    tags: tuple[str, ...] = ()


def select_taggable(spans: Iterable[Span]) -> list[Span]:
    """Select the mentions that tags can express: those of whole words, and of overlapping ones the longest."""
    selected: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        if not span.partial and all(span.end <= other.start or other.end <= span.start for other in selected):
            selected.append(span)
    return sorted(selected)


def join_words(words: tuple[str, ...], *, unspaced: bool = False) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Join words with single spaces. Returns the text and each word's offsets in it.

    With `unspaced`, there is no space beside a letter of a script that has none, such as Chinese, and none at all
    if every word is a single character.
    """
    letters = unspaced and all(len(word) == 1 for word in words)
    offsets: list[tuple[int, int]] = []
    text = ""
    for word in words:
        if text and not letters and not (unspaced and _touch(text[-1], word[:1])):
            text += " "
        offsets.append((len(text), len(text) + len(word)))
        text += word
    return text, tuple(offsets)


def _touch(before: str, after: str) -> bool:
    """Whether no space is written between two characters, in a text of a script without spaces."""
    return any(has_unspaced(one) or unicodedata.east_asian_width(one) in "FW" for one in (before, after) if one)


def locate_words(text: str, words: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Find the offsets of words that follow each other in a text.

    Raises:
        ValueError: a word is not in the text behind the one before it.
    """
    offsets, position = [], 0
    for word in words:
        start = text.find(word, position)
        if start < 0:
            raise ValueError(f"the token {word!r} does not stand in the text where it should")
        position = start + len(word)
        offsets.append((start, position))
    return tuple(offsets)
