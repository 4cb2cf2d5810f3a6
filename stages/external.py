"""Contexts computed elsewhere, keyed by the picture's id: a dataset whose pictures are gone still trains.

Three forms of file are read: lines of `<id>.jpg :<caption>`; a JSON object `{"<id>.jpg": caption}` where a caption
may also be a list of captions; and the JSON lines of `ita data import` and `ita data import-contexts`: the first is
`{"schema": "ita.contexts/1"}`, each other one is a picture with its captions, objects or texts.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from stages.base import (
    EXECUTION,
    BadItemError,
    Failure,
    Frozen,
    Identity,
    Item,
    Stage,
    StageConfig,
    StageError,
    Text,
    Value,
    guarded,
)
from stages.caption.schema import Caption, CaptionValue
from stages.objects.schema import ObjectsValue

MOST_BYTES = 1 << 30

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

SCHEMA = "ita.contexts/1"

LINE = re.compile(r"([^\s:\[{]+)\s*:\s*(.*)")

FORMS = 'write lines of "<id>.jpg :<caption>", or JSON {"<id>.jpg": "<caption>"}; or see ita data import-contexts'


class ExternalConfig(StageConfig):
    """Where the file lies does not matter; what is in it is part of the key."""

    file: Annotated[str, EXECUTION] = ""


class TextValue(Value):
    """Contexts that are text already, each one appended as it stands."""

    texts: tuple[Text, ...]


class ExternalValue(Value):
    """What a file says of a picture. A part is None where the file says nothing of that kind."""

    source: str
    caption: CaptionValue | None = None
    objects: ObjectsValue | None = None
    extra: TextValue | None = None
    knowledge: TextValue | None = None

    @model_validator(mode="before")
    @classmethod
    def of_version_1(cls, data: Any) -> Any:
        """Records of the first version held captions and nothing else; reports of old runs still read them."""
        if isinstance(data, dict) and "captions" in data:
            return {"source": data.get("source"), "caption": data}
        return data

    @property
    def parts(self) -> dict[str, Value]:
        """By the name of the context, as the stages of those names would have found them."""
        found = {"caption": self.caption, "objects": self.objects, "extra": self.extra, "knowledge": self.knowledge}
        return {name: value for name, value in found.items() if value is not None}


class ContextLine(Frozen):
    """One line of a file of contexts: a picture's id, and what is known of the picture, or of its post."""

    image: Annotated[str, Field(min_length=1)]
    captions: tuple[Caption, ...] | None = None
    objects: ObjectsValue | None = None
    texts: tuple[str, ...] | None = None
    knowledge: tuple[str, ...] | None = None

    def value(self, source: str) -> ExternalValue:
        return ExternalValue(
            source=source,
            caption=None if self.captions is None else CaptionValue(source=source, captions=self.captions),
            objects=self.objects,
            extra=None if self.texts is None else TextValue(texts=self.texts),
            knowledge=None if self.knowledge is None else TextValue(texts=self.knowledge),
        )


class ExternalStage(Stage[ExternalConfig]):
    name = "external"
    version = 3
    config_type = ExternalConfig
    value_type = ExternalValue

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
    def entries(self) -> Mapping[str, ExternalValue]:
        """What the file says, by picture id.

        Raises:
            StageError: the file cannot be read, or is in none of the forms.
        """
        return read_contexts(self.content, Path(self.config.file))

    @functools.cached_property
    def parts(self) -> frozenset[str]:
        """The kinds of contexts that the file has, for whichever picture."""
        return frozenset(name for value in self.entries.values() for name in value.parts)

    def identity(self) -> Identity:
        return Identity(models={"file": f"sha256:{hashlib.sha256(self.content).hexdigest()}"})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        return [guarded(self.look_up, item) for item in items]

    def look_up(self, item: Item) -> ExternalValue:
        found = self.entries.get(item.key)
        if found is None:
            raise BadItemError(f"{Path(self.config.file).name} says nothing of the picture {item.key}")
        return found


def read_contexts(content: bytes, path: Path) -> dict[str, ExternalValue]:
    """Contexts by picture id, the id being the file name without its suffix.

    Raises:
        StageError: the file is in none of the forms; the message names the line.
    """
    try:
        text = content.decode("utf-8-sig")
        return {line.image: line.value(path.name) for line in lines_of(text)}
    except (ValueError, RecursionError) as error:
        raise StageError(f"{path} is not a caption file: {error}", FORMS) from error


def lines_of(text: str) -> Iterator[ContextLine]:
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith("{") and SCHEMA in first:
        yield from from_context_lines(rest.split("\n"))
        return
    pairs = from_json(json.loads(text)) if first.startswith("{") else from_lines(text)
    for name, captions in pairs:
        found = tuple(Caption(text=caption, score=None) for caption in captions)
        name = name.strip()
        image = Path(name).stem if Path(name).suffix.lower() in PICTURES else Path(name).name
        yield ContextLine(image=image, captions=found)


def from_context_lines(lines: Iterable[str]) -> Iterator[ContextLine]:
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            yield ContextLine.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"line {number}: {place}: {first['msg']}") from error


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


def written(lines: Iterable[ContextLine]) -> Iterator[str]:
    """The lines of a file of contexts."""
    yield json.dumps({"schema": SCHEMA}) + "\n"
    for line in lines:
        yield line.model_dump_json(exclude_none=True) + "\n"
