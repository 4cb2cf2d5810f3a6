"""Tags of any scheme: BIO, IOB1, IOBES, BILOU and BMEWO, in capitals or not, read by one rule.

A mention begins at B, or where I, M, E or L continue none of their type; it goes on through I and M, and ends at E
or L, or before what does not continue it. S, U and W are a mention of one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ita_pipeline.corpus.posts import Span, select_taggable

# How ITA (B-X), its IOBES form (S-X), AdaSeq and PGIM (X) tag the words of a context that follows a tweet.
CONTEXT_TAGS = frozenset({"X", "B-X", "S-X", "I-X"})

_TAG = re.compile(r"[Oo]|[BIMELSUWbimelsuw]-\S+")

SINGLES, ENDS = "SUW", "EL"

# The scheme that a prefix stands for. E is in two of them, and B, I and O in all.
_SCHEMES = {"L": "BILOU", "U": "BILOU", "M": "BMEWO", "W": "BMEWO", "S": "IOBES"}

TAGS_HINT = "tags are O, B-TYPE and I-TYPE, or those of IOBES, BILOU or BMEWO"


def is_tag(tag: str) -> bool:
    """Whether a text is a tag of one of the schemes."""
    return _TAG.fullmatch(tag) is not None


def decode_tags(tags: Sequence[str], types: Mapping[str, str]) -> Iterator[Span]:
    """Mentions of tags of any scheme. A tag that continues no mention of its type starts one, as in UMT and ITA."""
    start: int | None = None
    current = ""
    for position, (prefix, name) in enumerate(_split_tag(tag, types) for tag in [*tags, "O"]):
        if start is not None and (prefix in "OB" or prefix in SINGLES or name != current):
            yield Span(start, position, current)
            start = None
        if prefix != "O" and start is None:
            start, current = position, name
        if start is not None and (prefix in SINGLES or prefix in ENDS):
            yield Span(start, position + 1, current)
            start = None


def find_orphans(tags: Sequence[str], types: Mapping[str, str]) -> list[int]:
    """Positions of each tag that should continue a mention of its type, but continues none."""
    orphans: list[int] = []
    before, before_name = "O", ""
    for position, (prefix, name) in enumerate(_split_tag(tag, types) for tag in tags):
        is_open = before in "BIM" and name == before_name
        if prefix not in "OB" and prefix not in SINGLES and not is_open:
            orphans.append(position)
        before, before_name = prefix, name
    return orphans


def find_scheme(sentences: Iterable[Sequence[str]], types: Mapping[str, str]) -> str:
    """The scheme of tags, by their prefixes; several if they are mixed.

    In IOB1, a B stands only between two mentions of one type. A single I that begins a mention is no sign of it.
    """
    prefixes: set[str] = set()
    needless = adjacent = starts = 0
    for tags in sentences:
        parts = [_split_tag(tag, types) for tag in tags]
        prefixes.update(prefix for prefix, _ in parts)
        for (_, before), (prefix, name) in zip([("O", ""), *parts], parts, strict=False):
            needless += prefix == "B" and before != name
            adjacent += prefix == "B" and before == name
            starts += prefix == "I" and before != name
    names = {_SCHEMES[prefix] for prefix in prefixes if prefix in _SCHEMES}
    if not names and "E" in prefixes:
        names = {"IOBES"}
    is_iob1 = not needless and (starts > 1 or (starts > 0 and adjacent > 0))
    return " and ".join(sorted(names)) or ("IOB1" if is_iob1 else "BIO")


def describe_scheme(scheme: str) -> Iterator[str]:
    """A note about a scheme other than BIO."""
    if scheme != "BIO":
        yield f"the tags are {scheme}"


def _split_tag(tag: str, types: Mapping[str, str]) -> tuple[str, str]:
    """The prefix of a tag in capitals, and its type, renamed by `types`."""
    prefix, _, name = tag.partition("-")
    return prefix.upper(), types.get(name, name)


def encode_bio(length: int, spans: Iterable[Span]) -> list[str]:
    """BIO tags of the mentions that tags can express."""
    tags = ["O"] * length
    for span in select_taggable(spans):
        tags[span.start : span.end] = [f"B-{span.type}"] + [f"I-{span.type}"] * (span.end - span.start - 1)
    return tags
