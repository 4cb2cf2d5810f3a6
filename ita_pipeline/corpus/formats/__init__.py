"""Formats of posts and contexts, a module each, and the table of formats of post files.

May import `core`, `sources` and the rest of `corpus`; `fields` has the rules that all formats share.
To add a format of post files, write its reader and add it to `FORMATS` and `FormatName`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ita_pipeline.corpus.formats import conll, jsonl
from ita_pipeline.corpus.line_errors import OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import ParsedPost

FormatName = Literal["conll", "jsonl"]


@dataclass(frozen=True, slots=True)
class PostFormat:
    """A format of post files.

    `parse` takes a file, a mapping that renames types, a handler of bad lines, and the layout of CoNLL files.
    """

    suffixes: tuple[str, ...]
    parse: Callable[[Path, Mapping[str, str], OnLineError, conll.Layout], Iterable[ParsedPost]]


FORMATS: dict[FormatName, PostFormat] = {
    "conll": PostFormat((".txt", ".conll", ".bio", ".iob", ".tsv", ""), conll.parse_file),
    "jsonl": PostFormat((".jsonl", ".json", ".ndjson"), jsonl.parse_file),
}


def find_format(path: Path) -> FormatName:
    """The format of a file by its suffix, CoNLL if no format has that suffix."""
    for name, post_format in FORMATS.items():
        if path.suffix.lower() in post_format.suffixes:
            return name
    return "conll"


def parse_posts(
    path: Path,
    form: FormatName | None = None,
    types: Mapping[str, str] | None = None,
    on_error: OnLineError = raise_unless_tolerated,
    layout: conll.Layout = conll.DEFAULT_LAYOUT,
) -> Iterable[ParsedPost]:
    """Read the posts of a file, in the format that its suffix stands for by default.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is faulty.
    """
    return FORMATS[form or find_format(path)].parse(path, types or {}, on_error, layout)
