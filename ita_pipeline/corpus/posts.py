"""A post: words, perhaps gold mentions, perhaps a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A mention in words: from `start` up to, not including, `end`."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Post:
    """`offsets` are character positions of the words in `text`, end exclusive. `gold` is None where nobody
    labelled the post. `image_id` names the picture in the dataset, `picture` is its file where there is one.
    """

    id: str
    text: str
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    gold: tuple[Span, ...] | None = None
    image_id: str | None = None
    picture: Path | None = None

    @classmethod
    def from_text(cls, text: str, picture: Path | str | None = None, id: str = "1") -> Post:
        """A post as somebody wrote it, its words found by the tweet tokenizer."""
        from ita_pipeline.core.text import whole_text
        from ita_pipeline.corpus.tokenizer import tokenize

        text = whole_text(text)
        path = Path(picture) if picture is not None else None
        offsets = tuple(tokenize(text))
        words = tuple(text[start:end] for start, end in offsets)
        return cls(id, text, words, offsets, image_id=path.stem if path else None, picture=path)


def join_words(words: tuple[str, ...]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Words with one space between them, and where each one stands in that text."""
    offsets, position = [], 0
    for word in words:
        offsets.append((position, position + len(word)))
        position += len(word) + 1
    return " ".join(words), tuple(offsets)
