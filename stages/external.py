"""Contexts computed elsewhere, keyed by the picture's id: a dataset whose pictures are gone still trains.

Two forms of caption file are read: lines of `<id>.jpg :<caption>`, and a JSON object `{"<id>.jpg": caption}`
where a caption may also be a list of captions.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from stages.base import (
    EXECUTION,
    BadItemError,
    Failure,
    Identity,
    Item,
    Stage,
    StageConfig,
    StageError,
    Value,
    guarded,
)
from stages.caption import Caption, CaptionValue

MOST_BYTES = 1 << 30
LINE = re.compile(r"([^\s:\[{]+)\s*:\s*(.*)")


class ExternalConfig(StageConfig):
    """Where the file lies does not matter; what is in it is part of the key."""

    file: Annotated[str, EXECUTION] = ""


class ExternalStage(Stage[ExternalConfig]):
    name = "external"
    version = 1
    config_type = ExternalConfig
    value_type = CaptionValue

    @property
    def batch_size(self) -> int:
        return 4096

    @functools.cached_property
    def content(self) -> bytes:
        path = Path(self.config.file)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise StageError(f"{path} is larger than {MOST_BYTES >> 30} GiB", "split the file")
            return path.read_bytes()
        except OSError as error:
            raise StageError(f"the captions {path} cannot be read: {error.strerror}", "check --captions") from error

    @functools.cached_property
    def captions(self) -> Mapping[str, tuple[str, ...]]:
        return read_captions(self.content, Path(self.config.file))

    def identity(self) -> Identity:
        return Identity(models={"file": f"sha256:{hashlib.sha256(self.content).hexdigest()}"})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        return [guarded(self.look_up, item) for item in items]

    def look_up(self, item: Item) -> CaptionValue:
        texts = self.captions.get(item.key)
        if texts is None:
            raise BadItemError(f"{Path(self.config.file).name} has no caption for the picture {item.key}")
        captions = tuple(Caption(text=text, score=None) for text in texts)
        return CaptionValue(source=Path(self.config.file).name, captions=captions)


def read_captions(content: bytes, path: Path) -> dict[str, tuple[str, ...]]:
    """Captions by picture id, the id being the file name without its suffix.

    Raises:
        StageError: the file is in neither of the two forms; the message names the line.
    """
    try:
        text = content.decode("utf-8-sig")
        pairs = from_json(json.loads(text)) if text.lstrip().startswith("{") else from_lines(text)
        return {Path(name.strip()).stem: captions for name, captions in pairs}
    except (ValueError, RecursionError) as error:
        raise StageError(
            f"{path} is not a caption file: {error}",
            'write lines of "<id>.jpg :<caption>", or JSON {"<id>.jpg": "<caption>"}',
        ) from error


def from_lines(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"line {number} is not a picture, a colon and a caption")
        yield found[1], (found[2],) if found[2] else ()


def from_json(data: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, found in data.items():
        captions = [found] if isinstance(found, str) else found
        if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
            raise ValueError(f"the entry {name!r} is neither a caption nor a list of captions")
        yield name, tuple(caption.strip() for caption in captions)
