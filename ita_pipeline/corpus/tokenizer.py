"""Words of raw tweets, from NLTK's tweet tokenizer: handles, hashtags, links and emoticons are one word each.

Emoji of several characters and HTML entities such as `&amp;`, which NLTK divides, are one word each, too.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

ENTITY = re.compile(r"&(?:#\w{1,8}|[A-Za-z]\w{1,31});")

# An emoji with variation selectors or skin tones, and emoji joined by U+200D.
MODIFIER = "[\ufe0f\U0001f3fb-\U0001f3ff]"

EMOJI = re.compile(f"\\S{MODIFIER}*(?:\u200d\\S{MODIFIER}*)+|\\S{MODIFIER}+")

NON_SPACE = re.compile(r"\S+")


@functools.cache
def _word_pattern() -> Any:
    from nltk.tokenize import TweetTokenizer

    return TweetTokenizer().WORD_RE


def tokenize(text: str) -> list[tuple[int, int]]:
    """Character spans of the words of `text`, in order, end exclusive. Together they cover all but white space."""
    spans: list[tuple[int, int]] = []
    position = 0
    for match in _word_pattern().finditer(text):
        spans += _find_gap_words(text, position, match.start())
        start = match.end() - len(match[0].lstrip())
        spans.append((start, start + len(match[0].strip())))
        position = match.end()
    spans += _find_gap_words(text, position, len(text))
    return list(_merge_indivisible(text, (span for span in spans if span[0] < span[1])))


def _merge_indivisible(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge the words that are parts of one emoji or entity."""
    indivisible = [match.span() for match in ENTITY.finditer(text) if html.unescape(match[0]) != match[0]]
    indivisible += [match.span() for match in EMOJI.finditer(text)]
    inner_positions = {position for start, end in indivisible for position in range(start + 1, end)}
    word_start = previous_end = 0
    for start, end in spans:
        if start not in inner_positions or start != previous_end:
            if word_start < previous_end:
                yield word_start, previous_end
            word_start = start
        previous_end = end
    if word_start < previous_end:
        yield word_start, previous_end


def _find_gap_words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Words of what the tokenizer skipped, such as a lone variation selector."""
    return [match.span() for match in NON_SPACE.finditer(text, start, end)]
