"""Make text safe to print: no lone surrogates, no invisible or direction-changing characters."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any


def whole_text(text: str) -> str:
    """Text with U+FFFD for each lone surrogate, which no encoding and no tokenizer takes."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text)


def clean_line(text: str) -> str:
    """One line without control or direction-changing characters, which could disguise what it says."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    escape_hidden = "".join(c for c in kept if unicodedata.category(c) != "Cf" or c == "\u200d")
    return re.sub(r"\s+", " ", escape_hidden).strip()


# Flags of England, Scotland and Wales are written with tag characters, emoji and Indic scripts with joiners.
KEPT = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f|[\u200c\u200d]|[\n\t]")

BYTES = re.compile("[\udc80-\udcff]")

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))

QUICK = re.compile("[ -~\n\t]*")


def escape_hidden(text: str) -> str:
    """`text` with what cannot be seen written out: `␛`, `‹U+202E›` for a right-to-left override, `\\xff` for a byte
    of a file name that is no text.

    Line feeds and tabs stay, since a page shows them as the white space they are.
    """
    if QUICK.fullmatch(text):
        return text
    parts: list[str] = []
    position = 0
    for kept in KEPT.finditer(text):
        parts += map(_escape, text[position : kept.start()])
        parts.append(kept[0])
        position = kept.end()
    parts += map(_escape, text[position:])
    return "".join(parts)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if BYTES.fullmatch(character):
        return f"\\x{code - 0xDC00:02x}"
    return "\ufffd" if unicodedata.category(character) == "Cs" else f"‹U+{code:04X}›"


def escape_name(path: Path | str) -> str:
    """A file's name or an id on one line."""
    return escape_hidden(str(path)).replace("\n", "␊").replace("\t", "␉")


def escape_texts(value: Any) -> Any:
    """A JSON value with every text in it made visible, names of entries included."""
    if isinstance(value, str):
        return escape_hidden(value)
    if isinstance(value, dict):
        return {escape_hidden(str(name)): escape_texts(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape_texts(item) for item in value]
    return value
