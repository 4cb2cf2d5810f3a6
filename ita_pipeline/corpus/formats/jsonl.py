"""Posts as JSON lines: `{"text": …, "image": "x.jpg", "mentions": [{"start", "end", "type"}], "split": "train"}`.

Only `text` or `tokens` is required. Mentions are character offsets, end exclusive; their `boxes` are xyxy in pixels
of the first image. A line with `tokens` may have `tags` instead, and `images` are several. An image path is
relative to the file's folder and must stay inside it. Links may lead elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import open_regular
from ita_pipeline.core.text import decode_lines
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats.conll import ORPHANS
from ita_pipeline.corpus.formats.fields import FIELDS, parse_fields
from ita_pipeline.corpus.formats.schemes import find_orphans, find_scheme
from ita_pipeline.corpus.line_errors import LineError, OnLineError, raise_unless_tolerated
from ita_pipeline.corpus.posts import ParsedPost, Span, select_taggable

WHOLE_WORDS = "it is kept as it is; ita data check explains what that means"


def parse_file(
    path: Path, types: Mapping[str, str], on_error: OnLineError, _layout: object = None
) -> Iterator[ParsedPost]:
    """Read the posts of a file. If `on_error` returns, the faulty line is left out.

    Raises:
        MissingError: the file cannot be read.
        UsageError: a line is no valid object.
    """
    try:
        with open_regular(path) as lines:
            yield from parse_lines(lines, str(path), path.parent, types, on_error)
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", f"ls -l {path}") from error


def parse_lines(
    lines: Iterable[bytes],
    where: str,
    folder: Path,
    types: Mapping[str, str],
    on_error: OnLineError = raise_unless_tolerated,
) -> Iterator[ParsedPost]:
    """Parse JSON lines one at a time, so that posts from a pipe are answered as they arrive."""
    tagged: dict[int, ParsedPost] = {}
    for number, text in enumerate(decode_lines(lines, where), 1):
        if not text.strip():
            continue
        if number == 1 and text.lstrip().startswith("["):
            hint = "write one object a line: jq -c '.[]' FILE > NEW"
            raise UsageError(f"{where} is one JSON array, not JSON lines", hint)
        try:
            parsed = _parse_line(text, number, where, folder, types)
        except LineError as error:
            on_error(error)
            continue
        if parsed.tags:
            tagged[number] = parsed
        for kind, span in _find_untaggable(parsed.post.gold or ()):
            words = " ".join(parsed.post.words[span.start : span.end])
            on_error(LineError(kind, where, number, f"a mention of type {span.type} in {words!r}", WHOLE_WORDS))
        yield parsed
    if find_scheme((parsed.tags for parsed in tagged.values()), types) == "IOB1":
        return
    for number, parsed in tagged.items():
        for position in find_orphans(parsed.tags, types):
            reason = f"{parsed.tags[position]} of {parsed.post.words[position]!r} continues no mention"
            on_error(LineError(FindingKind.ORPHAN_TAG, where, number, reason, ORPHANS))


def _parse_line(text: str, number: int, where: str, folder: Path, types: Mapping[str, str]) -> ParsedPost:
    kind = FindingKind.BAD_LINE
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise LineError(kind, where, number, *_explain_json_error(error)) from error
    except (ValueError, RecursionError) as error:
        raise LineError(
            kind, where, number, "its numbers are too long, or it is nested too deeply", FIELDS
        ) from error
    return parse_fields(fields, number, where, folder, types)


def _explain_json_error(error: json.JSONDecodeError) -> tuple[str, str]:
    """Return what is wrong with a line that is not JSON, and a hint."""
    if error.pos >= len(error.doc.rstrip()):
        return "the JSON object is not complete", "write each post on one line, as in docs/datasets.md"
    problem = error.msg[:1].lower() + error.msg[1:]
    return f"invalid JSON at column {error.colno}: {problem}", 'each line is one JSON object, such as {"text": "…"}'


def _find_untaggable(gold: Sequence[Span]) -> Iterator[tuple[FindingKind, Span]]:
    """The mentions that tags cannot express, and why."""
    taggable = select_taggable(gold)
    for span in gold:
        if span.partial:
            yield FindingKind.PARTIAL_MENTION, span
        elif span not in taggable:
            yield FindingKind.OVERLAPPING_MENTION, span
