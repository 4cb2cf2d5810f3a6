"""Words of raw tweets, by NLTK's tweet tokenizer: handles, hashtags, links and emoticons stay whole."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any


def whole_text(text: str) -> str:
    """Text with U+FFFD for each lone surrogate, which no encoding and no tokenizer takes."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text)


def plain(text: str) -> str:
    """One line without control or direction-changing characters, which could disguise what it says."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    visible = "".join(c for c in kept if unicodedata.category(c) != "Cf" or c == "\u200d")
    return re.sub(r"\s+", " ", visible).strip()


@functools.cache
def pattern() -> Any:
    from nltk.tokenize import TweetTokenizer

    return TweetTokenizer().WORD_RE


def tokenize(text: str) -> list[tuple[int, int]]:
    """Character spans of the words of `text`, in order, end exclusive; together they cover all but white space."""
    spans: list[tuple[int, int]] = []
    position = 0
    for match in pattern().finditer(text):
        spans += gaps(text, position, match.start())
        spans += [trimmed(text, *match.span())]
        position = match.end()
    spans += gaps(text, position, len(text))
    return [span for span in spans if span[0] < span[1]]


def gaps(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Whatever the tokenizer passed over, such as a lone variation selector, is a word too."""
    return [match.span() for match in re.compile(r"\S+").finditer(text, start, end)]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
