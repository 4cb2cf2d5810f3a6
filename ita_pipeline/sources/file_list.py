"""Lists of pictures: a text file of paths and URLs, one a line; or JSON lines with a column of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.remote import WEB_PROTOCOLS, is_url, protocol_of, summarize_error
from ita_pipeline.sources.base import File, Place, opened
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.object_store import FarFile
from ita_pipeline.sources.web import WebFile

BUFFERED = 256 * 1024

JSON_LINES = (".jsonl", ".ndjson")

# What makes a line of JSON a post, and else where its picture stands; the first line decides for a file.
OF_POSTS = ("text", "tokens")

COLUMNS = ("image", "path", "file", "file_name", "image_path", "url", "image_url")

LONGEST_LINE = 1024 * 1024

BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")

MOST_OF_A_PATTERN = 100_000

FEWER = "several of them, one after the other, or a list in a text file"

ONE_A_LINE = "a list is a text file with one path or address a line"


@dataclass(frozen=True, slots=True)
class Listed:
    """The places in a list, and remarks about lines that name none."""

    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()


def file_at(text: str) -> File:
    """What lies at a path or URL; it is not looked for."""
    protocol = protocol_of(text)
    if protocol in WEB_PROTOCOLS:
        return WebFile(text)
    if protocol == "file":
        return LocalFile(Path(unquote(urlsplit(text).path)))
    return FarFile(text) if protocol else LocalFile(Path(text))


def named_in(text: str, base: File) -> File:
    """What a line of a list names; relative paths start from the folder of the list."""
    if is_url(text):
        return file_at(text)
    if isinstance(base, LocalFile):
        return LocalFile(base.path.parent / text)
    if isinstance(base, WebFile):
        return WebFile(urljoin(base.url, text))
    folder = base.label.rpartition("/")[0]
    return FarFile(text if text.startswith("/") else f"{folder}/{text}")


def is_json_lines(name: str) -> bool:
    return name.lower().endswith(JSON_LINES)


def is_text_list(name: str) -> bool:
    return name.lower().endswith(".txt")


def is_picture_list(path: Path) -> bool:
    """Whether a local file is a list of pictures: any .txt; of JSON lines, where the first is no post."""
    if not path.is_file():
        return False
    return is_text_list(path.name) or (is_json_lines(path.name) and column_of(LocalFile(path)) is not None)


def column_of(file: File) -> str | None:
    """The column of pictures of JSON lines that are no posts.

    Raises:
        MissingError: the file cannot be read.
    """
    for _, line in lines_of(file):
        try:
            first = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(first, dict) or any(name in first for name in OF_POSTS):
            return None
        return next((name for name in COLUMNS if isinstance(first.get(name), str)), None)
    return None


def read_list(file: File) -> Listed:
    """
    Raises:
        MissingError: the list cannot be read.
        UsageError: a line is not what it should be.
    """
    if not is_json_lines(file.name):
        return Listed(tuple(named_in(line, file) for _, line in lines_of(file)))
    column = column_of(file)
    if column is None:
        hint = f'{{"path": "a.jpg"}}, one a line; known are {", ".join(COLUMNS)}'
        raise UsageError(f"the first line of {file.label} names no picture", hint)
    names = [value_in(line, column, number, file) for number, line in lines_of(file)]
    without = sum(name is None for name in names)
    notes = (f"{without} lines of {file.label} have no {column}",) if without else ()
    return Listed(tuple(named_in(name, file) for name in names if name is not None), notes)


def value_in(line: str, column: str, number: int, file: File) -> str | None:
    try:
        value: Any = json.loads(line).get(column)
    except (ValueError, RecursionError, AttributeError) as error:
        what = f"{file.label}, line {number}, is no JSON object: {summarize_error(error)}"
        raise UsageError(what, "each line is one JSON object") from error
    return value if isinstance(value, str) and value.strip() else None


def lines_of(file: File) -> Iterator[tuple[int, str]]:
    """The lines that say anything, counted from 1. Bytes that are no UTF-8 are those of a file's name."""
    try:
        with io.TextIOWrapper(opened(file, BUFFERED), "utf-8-sig", "surrogateescape") as text:
            number = 0
            while line := text.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise UsageError(f"{file.label}, line {number}, has more than a million characters", ONE_A_LINE)
                if "\0" in line:
                    raise UsageError(
                        f"{file.label}, line {number}, holds a zero byte, so this is no list", ONE_A_LINE
                    )
                if line.strip():
                    yield number, line.strip("\r\n")
    except UsageError:
        raise
    except Exception as error:  # libraries of file systems raise nearly anything
        raise MissingError(
            f"{file.label} cannot be read: {summarize_error(error)}", "a path or an address that can be"
        ) from error


def expanded(pattern: str) -> list[str]:
    """`shard-{000..012}.tar` and `{train,test}.tar` as the names that they stand for, in order.

    Raises:
        UsageError: they are too many.
    """
    parts: list[list[str]] = []
    position, count = 0, 1
    for found in BRACES.finditer(pattern):
        parts += [[pattern[position : found.start()]], choices(found)]
        count *= len(parts[-1])
        position = found.end()
        if count > MOST_OF_A_PATTERN:
            raise UsageError(f"{pattern} stands for more than {MOST_OF_A_PATTERN:,} names", FEWER)
    return ["".join(chosen) for chosen in product(*parts, [pattern[position:]])]


def choices(found: re.Match[str]) -> list[str]:
    first, last, names = found.groups()
    if names is not None:
        return names.split(",")
    start, end = int(first), int(last)
    if abs(end - start) >= MOST_OF_A_PATTERN:
        raise UsageError(f"{found[0]} stands for more than {MOST_OF_A_PATTERN:,} names", FEWER)
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    step = 1 if end >= start else -1
    return [str(number).zfill(width) for number in range(start, end + step, step)]
