"""Image source: lists, either text files with a path or URL a line or JSON lines with a column of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urljoin, urlsplit

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.remote import WEB_PROTOCOLS, is_url, protocol_of, summarize_error
from ita_pipeline.core.text import format_count
from ita_pipeline.sources.base import RandomAccessFile, open_buffered
from ita_pipeline.sources.columns import IMAGE_PATH_COLUMNS, POST_COLUMNS
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import RemoteFile
from ita_pipeline.sources.refs import SourceListing
from ita_pipeline.sources.web import HttpFile

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")

LIST_SUFFIXES = (".txt", *JSON_LINES_SUFFIXES)

_MAX_LINE_LENGTH = 1024 * 1024

_MAX_EXPANDED_NAMES = 100_000

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")

_TOO_MANY_HINT = "several of them, one after the other, or a list in a text file"

_LIST_HINT = "a list is a text file in UTF-8 with one path or address a line"

_LINES_HINT = "each line is one JSON object in UTF-8; a post has at most a million characters"


def open_source(text: str) -> RandomAccessFile:
    """Return the file with a path or URL, without access to it."""
    protocol = protocol_of(text)
    if protocol in WEB_PROTOCOLS:
        return HttpFile(text)
    if protocol == "file":
        return LocalFile(Path(unquote(urlsplit(text).path)))
    return RemoteFile(text) if protocol else LocalFile(Path(text))


def _open_listed(text: str, file: RandomAccessFile) -> RandomAccessFile:
    """Return the file that a line of a list names. Relative paths start from the list's folder, `~/` from home."""
    text = text.rstrip(" \t\r\n")
    if is_url(text):
        return open_source(text)
    if isinstance(file, LocalFile):
        return LocalFile(file.path.parent / (Path(text).expanduser() if text.startswith("~/") else text))
    if isinstance(file, HttpFile):
        return HttpFile(urljoin(file.url, text))
    folder = file.label.rpartition("/")[0]
    return RemoteFile(text if text.startswith("/") else f"{folder}/{text}")


def find_path_column(file: RandomAccessFile) -> str | None:
    """Find the column of images in JSON lines by the first line; None if the lines are posts.

    Raises:
        MissingError: the file cannot be read.
    """
    _, line = next(_read_lines(file), (0, ""))
    try:
        first: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    columns = cast("dict[str, object]", first) if isinstance(first, dict) else {}
    if any(name in columns for name in POST_COLUMNS):
        return None
    return next((name for name in IMAGE_PATH_COLUMNS if isinstance(columns.get(name), str)), None)


def read_list(file: RandomAccessFile) -> SourceListing:
    """Read the images of a list.

    Raises:
        MissingError: the list cannot be read.
        UsageError: a line is malformed.
    """
    if not file.name.lower().endswith(JSON_LINES_SUFFIXES):
        return SourceListing(tuple(_open_listed(line, file) for _, line in _read_lines(file)))
    column = find_path_column(file)
    if column is None:
        hint = f'{{"path": "a.jpg"}}, one a line; known are {", ".join(IMAGE_PATH_COLUMNS)}'
        raise UsageError(f"the first line of {file.label} names no picture", hint)
    values = [_parse_line(line, column, number, file) for number, line in _read_lines(file)]
    paths = [value for value in values if isinstance(value, str) and value.strip()]
    missing = len(values) - len(paths)
    notes = (f"without {column}: {format_count(missing, 'line')} of {file.label}",) if missing else ()
    return SourceListing(tuple(_open_listed(path, file) for path in paths), notes=notes)


def _parse_line(line: str, column: str, number: int, file: RandomAccessFile) -> object:
    try:
        return json.loads(line).get(column)
    except (ValueError, RecursionError, AttributeError) as error:
        problem = f"{file.label}, line {number}, is no JSON object: {summarize_error(error)}"
        raise UsageError(problem, "each line is one JSON object") from error


def _read_lines(file: RandomAccessFile) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, counted from 1. Bytes that are not UTF-8 are kept as in file names."""
    hint = _LINES_HINT if file.name.lower().endswith(JSON_LINES_SUFFIXES) else _LIST_HINT
    try:
        with io.TextIOWrapper(open_buffered(file, 256 * 1024), "utf-8-sig", "surrogateescape") as lines:
            number = 0
            while line := lines.readline(_MAX_LINE_LENGTH):
                number += 1
                where = f"{file.label}, line {number}"
                if len(line) == _MAX_LINE_LENGTH:
                    raise UsageError(f"{where}, has more than a million characters", hint)
                if "\0" in line:
                    raise UsageError(f"{where}, contains a zero byte: it is not UTF-8 text", hint)
                if line.strip():
                    yield number, line.strip("\r\n")
    except UsageError:
        raise
    except Exception as error:  # libraries of file systems raise anything
        problem = f"{file.label} cannot be read: {summarize_error(error)}"
        raise MissingError(problem, "check the path or address, and whether you may read it") from error


def expand_braces(pattern: str) -> list[str]:
    """Expand `shard-{000..012}.tar` and `{train,test}.tar` to all names, in order, as a shell does.

    Raises:
        UsageError: the names are too many.
    """
    parts: list[list[str]] = []
    position, count = 0, 1
    for match in _BRACES.finditer(pattern):
        choices = _expand_match(match)
        parts += [[pattern[position : match.start()]], choices]
        count *= len(choices)
        position = match.end()
        if count > _MAX_EXPANDED_NAMES:
            raise UsageError(f"{pattern} stands for more than {_MAX_EXPANDED_NAMES:,} names", _TOO_MANY_HINT)
    return ["".join(combination) for combination in product(*parts, [pattern[position:]])]


def _expand_match(match: re.Match[str]) -> list[str]:
    first, last, names = match.groups()
    if names is not None:
        return names.split(",")
    start, end = int(first), int(last)
    if abs(end - start) >= _MAX_EXPANDED_NAMES:
        raise UsageError(f"{match[0]} stands for more than {_MAX_EXPANDED_NAMES:,} names", _TOO_MANY_HINT)
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    step = 1 if end >= start else -1
    return [str(number).zfill(width) for number in range(start, end + step, step)]
