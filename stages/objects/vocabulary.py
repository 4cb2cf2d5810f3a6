"""The words that a detector is asked with (`objects.vocabulary`): our list, COCO's, or a file of one's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from stages.base import StageError
from stages.objects.nanodet import COCO

COMMON = "common"

COCO_NAME = "coco"

OURS = Path(__file__).parent / "vocabulary.yaml"

MOST_BYTES = 100_000

MOST_WORDS = 2000

MOST_CHARACTERS = 100

# Grounding DINO reads one text and takes these for the end of a phrase.
ENDS = frozenset(".?")

FORMS = "name `common`, `coco`, or a file: a word a line, or YAML with a list of words or with groups of such lists"


def words_of(vocabulary: str) -> tuple[str, ...]:
    """The words of a vocabulary in their order, each once: `common`, `coco`, or the path of a file.

    A file `.yaml` or `.yml` holds a list of words, or groups of such lists. Any other holds a word (which may have
    several parts, such as "fire truck") a line; empty lines and those that begin with `#` do not count.

    Raises:
        StageError: the file is missing, is no text or too large, or holds no words, too many, or one that cannot
            be asked for.
    """
    if vocabulary == COCO_NAME:
        return tuple(COCO)
    path = OURS if vocabulary == COMMON else Path(vocabulary)
    text = read(path)
    found = in_yaml(text, path) if path.suffix.lower() in (".yaml", ".yml") else in_lines(text)
    words = [checked(word, path) for word in islice(found, MOST_WORDS + 1)]
    if not words:
        raise StageError(f"the vocabulary {path} has no words", FORMS)
    if len(words) > MOST_WORDS:
        raise StageError(f"the vocabulary {path} has more than {MOST_WORDS} words", "leave some out")
    once: dict[str, str] = {}
    for word in words:
        once.setdefault(word.casefold(), word)
    return tuple(once.values())


def digest(words: Sequence[str]) -> str:
    """sha256 of the words in their order, wherever they stand."""
    return f"sha256:{hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()}"


def read(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or error
        raise StageError(f"the vocabulary {path} cannot be read: {why}", FORMS) from error
    except ValueError as error:
        raise StageError(f"the vocabulary {path} is no text in UTF-8", FORMS) from error
    if len(content) > MOST_BYTES:
        raise StageError(f"the vocabulary {path} has more than {MOST_BYTES} bytes", "leave some words out")
    return text


def in_lines(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def in_yaml(text: str, path: Path) -> Iterator[Any]:
    """Whatever stands where words are expected; `checked` says whether it is one."""
    import yaml

    try:
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StageError(f"the vocabulary {path} is no YAML", FORMS) from error
    groups: list[Any] = list(content.values()) if isinstance(content, dict) else [content]
    for group in groups:
        if not isinstance(group, list | None):
            raise StageError(f"the vocabulary {path} has something else than lists of words", FORMS)
        yield from group or ()


def checked(word: Any, path: Path) -> str:
    """The word with single spaces, if it can be asked for."""
    if not isinstance(word, str):
        raise StageError(f"the vocabulary {path} has {str(word)[:40]!r}, which is no word", "put it in quotes")
    plain = " ".join(word.split())
    if not plain or not plain.isprintable() or not any(character.isalnum() for character in plain):
        raise StageError(f"the vocabulary {path} has {word[:40]!r}, which is no word", "leave it out")
    if len(plain) > MOST_CHARACTERS:
        raise StageError(
            f"the vocabulary {path} has a word of {len(plain)} characters: {plain[:40]!r}…",
            f"write at most {MOST_CHARACTERS}",
        )
    if ENDS & set(plain):
        raise StageError(f"the vocabulary {path} has {plain!r}", "write words without full stop or question mark")
    return plain
