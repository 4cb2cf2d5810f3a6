"""Words of raw tweets, by NLTK's tweet tokenizer: handles, hashtags, links and emoticons stay whole.

So do, which it would divide, emoji of several characters and the entities of HTML, such as `&amp;`.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

ENTITY = re.compile(r"&(?:#\w{1,8}|[A-Za-z]\w{1,31});")

# An emoji with a variation selector or the colour of a skin, and those that U+200D joins.
LOOK = "[\ufe0f\U0001f3fb-\U0001f3ff]"

EMOJI = re.compile(f"\\S{LOOK}*(?:\u200d\\S{LOOK}*)+|\\S{LOOK}+")


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
    return list(mended(text, (span for span in spans if span[0] < span[1])))


def mended(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same words, but those that are parts of one emoji or entity are one."""
    whole = [match.span() for match in ENTITY.finditer(text) if html.unescape(match[0]) != match[0]]
    whole += [match.span() for match in EMOJI.finditer(text)]
    inside = {place for start, end in whole for place in range(start + 1, end)}
    begin = before = 0
    for start, end in spans:
        if start not in inside or start != before:
            if begin < before:
                yield begin, before
            begin = start
        before = end
    if begin < before:
        yield begin, before


def gaps(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Whatever the tokenizer passed over, such as a lone variation selector, is a word too."""
    return [match.span() for match in re.compile(r"\S+").finditer(text, start, end)]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
