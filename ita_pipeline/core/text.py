"""Make text safe to show: no lone surrogates, and no invisible or direction-changing characters."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from ita_pipeline.core.errors import UsageError

JsonValue: TypeAlias = "str | int | float | bool | Mapping[str, JsonValue] | Sequence[JsonValue] | None"

# Flags of England, Scotland and Wales are written with tag characters, emoji and Indic scripts with joiners.
_KEPT = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f|[\u200c\u200d]|[\n\t])")


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Format a number and a noun that agrees with it, such as `1 file` and `2 files`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def clean_line(text: str) -> str:
    """Join text to one line, without control or direction-changing characters that could disguise it."""
    return re.sub(r"\s+", " ", "".join(map(_clean, text))).strip()


def clean_path(path: Path | str) -> str:
    """Return a path on one line, with control characters replaced and bytes that are not UTF-8 as `\\xff`."""
    return clean_line(str(path).encode("utf-8", "backslashreplace").decode())


def _clean(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    if category == "Cf" and character != "\u200d":
        return ""
    return " " if category in ("Cc", "Zl", "Zp") else character


def decode_text(content: bytes, where: str, first_line: int = 1) -> str:
    """Decode UTF-8 text, with or without a byte order mark.

    Raises:
        UsageError: it is not UTF-8; the message names the line and the encoding that it seems to have.
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]
    if is_wide:
        raise UsageError(f"{where} is UTF-16 text, not UTF-8", "iconv -f utf-16 -t utf-8 FILE > NEW")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        problem = f"the byte 0x{content[error.start]:02x} is not UTF-8; the text may be Latin-1"
        raise UsageError(f"{where}, line {line}: {problem}", "iconv -f latin1 -t utf-8 FILE > NEW") from error


def decode_lines(lines: Iterable[bytes], where: str) -> Iterator[str]:
    """Decode lines of UTF-8 text one at a time, so that those before a faulty one are answered.

    Raises:
        UsageError: a line is not UTF-8.
    """
    for number, line in enumerate(lines, 1):
        yield decode_text(line, where, number)


def escape_hidden(text: str) -> str:
    r"""Write out characters that are invisible, but for line feeds and tabs.

    Examples are `␛`, `‹U+202E›` for a right-to-left override, and `\xff` for an undecoded byte of a file name.
    """
    if re.fullmatch("[ -~\n\t]*", text):
        return text
    parts = _KEPT.split(text)  # every second part is one that is kept
    parts[::2] = ["".join(map(_escape, part)) for part in parts[::2]]
    return "".join(parts)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return "\ufffd" if unicodedata.category(character) == "Cs" else f"‹U+{code:04X}›"


def escape_name(path: Path | str) -> str:
    """Write out the hidden characters of a file name or an id, on one line."""
    return escape_hidden(str(path)).replace("\n", "␊").replace("\t", "␉")


def map_texts(value: object, change: Callable[[str], str]) -> JsonValue:
    """Apply `change` to every text in a JSON value, names of entries included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {change(str(name)): map_texts(item, change) for name, item in entries.items()}
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return [map_texts(item, change) for item in items]
    return cast("JsonValue", value)
