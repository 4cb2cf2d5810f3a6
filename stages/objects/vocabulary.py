"""The words that an open-vocabulary detector looks for (`objects.vocabulary`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from stages.base import StageError
from stages.files import read_file

COMMON = "common"

COMMON_FILE = Path(__file__).parent / "vocabulary.yaml"

BUNDLED = {COMMON: COMMON_FILE, "coco": Path(__file__).parent / "coco.txt"}

MAX_BYTES = 100_000

MAX_WORDS = 2000

MAX_CHARACTERS = 100

FORMS = "name `common`, `coco`, or a file: a word a line, or YAML with a list of words or with groups of such lists"


def read_vocabulary(vocabulary: str) -> tuple[str, ...]:
    """Return the words of a vocabulary in their order, each once.

    Args:
        vocabulary: `common`, `coco`, or the path of a file. A `.yaml` or `.yml` file contains a list of words, or
            groups of such lists. Any other file contains one word per line; empty lines and lines that begin with
            `#` are skipped. A word may have several parts, such as "fire truck".

    Raises:
        StageError: The file is missing, too large or not a text, or contains no words, too many words, or an
            invalid one.
    """
    path = BUNDLED.get(vocabulary) or Path(vocabulary)
    text = _read_text(path)
    entries = parse_yaml(text, path) if path.suffix.lower() in (".yaml", ".yml") else _parse_lines(text)
    words = [_normalize_word(entry, path) for entry in islice(entries, MAX_WORDS + 1)]
    if not words:
        raise StageError(f"the vocabulary {path} has no words", FORMS)
    if len(words) > MAX_WORDS:
        raise StageError(f"the vocabulary {path} has more than {MAX_WORDS} words", "leave some out")
    unique: dict[str, str] = {}
    for word in words:
        unique.setdefault(word.casefold(), word)
    return tuple(unique.values())


def parse_yaml(text: str, path: Path) -> Iterator[Any]:
    """Return the entries of the lists in a YAML vocabulary, which need not be words.

    Raises:
        StageError: The text is not YAML, or contains anything other than lists.
    """
    try:
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StageError(f"the vocabulary {path} is not valid YAML", FORMS) from error
    groups: list[Any] = list(content.values()) if isinstance(content, dict) else [content]
    for group in groups:
        if not isinstance(group, list | None):
            raise StageError(f"the vocabulary {path} contains something other than lists of words", FORMS)
        yield from group or ()


def _read_text(path: Path) -> str:
    try:
        content = read_file(path, MAX_BYTES)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise StageError(f"the vocabulary {path} cannot be read: {error.strerror or error}", FORMS) from error
    except ValueError as error:
        raise StageError(f"the vocabulary {path} is not UTF-8 text", FORMS) from error
    if len(content) > MAX_BYTES:
        raise StageError(f"the vocabulary {path} has more than {MAX_BYTES} bytes", "leave some words out")
    return text


def _parse_lines(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _normalize_word(entry: Any, path: Path) -> str:
    """Return the word with single spaces, or raise a `StageError` if a detector cannot look for it."""
    if not isinstance(entry, str):
        raise StageError(f"the vocabulary {path} has {str(entry)[:40]!r}, which is not a word", "put it in quotes")
    word = " ".join(entry.split())
    if not word.isprintable() or not any(character.isalnum() for character in word):
        raise StageError(f"the vocabulary {path} has {entry[:40]!r}, which is not a word", "leave it out")
    if len(word) > MAX_CHARACTERS:
        message = f"the vocabulary {path} has a word of {len(word)} characters: {word[:40]!r}…"
        raise StageError(message, f"write at most {MAX_CHARACTERS}")
    # Grounding DINO reads one text in which these characters end a phrase.
    if "." in word or "?" in word:
        raise StageError(f"the vocabulary {path} has {word!r}", "write words without periods and question marks")
    return word
