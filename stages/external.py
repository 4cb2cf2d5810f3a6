"""The stage `external`: contexts that were computed elsewhere, read from one file, where each image has a name.

A dataset whose images are gone can still be trained with them. The file has one of three forms:

- lines of `<id>.jpg :<caption>`,
- a JSON object `{"<id>.jpg": caption}`, where a caption may also be a list of captions,
- JSON lines as `ita data import` and `ita data import-contexts` write them: first `{"schema": "ita.contexts/1"}`,
  then one `ContextLine` per image.

Several lines of one image add up. Which name stands for which image of a dataset, `stages.picture_names` decides.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

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
    describe_invalid,
    guarded,
)
from stages.caption.schema import Caption, CaptionValue
from stages.files import read_file
from stages.objects.schema import ObjectsValue
from stages.picture_names import normalize_name, strip_image_suffix

MAX_BYTES = 1 << 30

SCHEMA = "ita.contexts/1"

CAPTION_LINE = re.compile(r"([^\s:\[{]+)\s*:\s*(.*)")

FORMS = 'write lines of "<id>.jpg :<caption>", or JSON {"<id>.jpg": "<caption>"}; or see ita data import-contexts'


class ExternalConfig(StageConfig):
    """Settings of the stage. The key contains the content of `file`, not its path."""

    file: Annotated[str, EXECUTION] = ""


class TextValue(Value):
    """Contexts that are already texts. Each is appended to the tweet unchanged."""

    texts: tuple[Text, ...]


class ExternalValue(Value):
    """All contexts of one image in the file named `source`. A context is None if the file has none of its kind."""

    source: str
    caption: CaptionValue | None = None
    objects: ObjectsValue | None = None
    extra: TextValue | None = None
    knowledge: TextValue | None = None

    @model_validator(mode="before")
    @classmethod
    def of_version_1(cls, data: Any) -> Any:
        """Convert a record of version 1, which had only captions; reports of old runs still read such records."""
        if isinstance(data, dict) and "captions" in data:
            return {"source": data.get("source"), "caption": data}
        return data

    @property
    def parts(self) -> dict[str, Value]:
        """The contexts that are present, by name; each looks like the value of the stage with that name."""
        return {name: value for name, value in self if isinstance(value, Value)}


class ContextLine(Frozen):
    """One line of a context file: the name of an image with the contexts of the image, or of its post."""

    image: Annotated[str, Field(min_length=1), AfterValidator(normalize_name)]
    captions: tuple[Caption, ...] | None = None
    objects: ObjectsValue | None = None
    texts: tuple[str, ...] | None = None
    knowledge: tuple[str, ...] | None = None

    def value(self, source: str) -> ExternalValue:
        """Convert the line to the stage's value; `source` is the name of the file."""
        return ExternalValue(
            source=source,
            caption=None if self.captions is None else CaptionValue(source=source, captions=self.captions),
            objects=self.objects,
            extra=None if self.texts is None else TextValue(texts=self.texts),
            knowledge=None if self.knowledge is None else TextValue(texts=self.knowledge),
        )


class ExternalStage(Stage[ExternalConfig]):
    """Look up each image's contexts in a file by the image's name in the file (`Item.key`)."""

    name = "external"
    version = 4
    config_type = ExternalConfig
    value_type = ExternalValue

    @property
    def batch_size(self) -> int:
        """A lookup is cheap, so batches are large."""
        return 4096

    @functools.cached_property
    def content(self) -> bytes:
        """The bytes of the file.

        Raises:
            StageError: The file cannot be read, or is too large.
        """
        path = Path(self.config.file)
        try:
            content = read_file(path, MAX_BYTES)
        except OSError as error:
            raise StageError(f"the captions {path} cannot be read: {error.strerror}", "check --captions") from error
        if len(content) > MAX_BYTES:
            raise StageError(f"{path} is larger than {MAX_BYTES >> 30} GiB", "split the file")
        return content

    @functools.cached_property
    def entries(self) -> Mapping[str, ExternalValue]:
        """The values in the file by the name of the image.

        Raises:
            StageError: The file cannot be read, or has none of the three forms.
        """
        return read_contexts(self.content, Path(self.config.file))

    @functools.cached_property
    def parts(self) -> frozenset[str]:
        """Names of the contexts that at least one image in the file has."""
        return frozenset(name for value in self.entries.values() for name in value.parts)

    def identity(self) -> Identity:
        """Return the digest of the file's content."""
        return Identity(models={"file": f"sha256:{hashlib.sha256(self.content).hexdigest()}"})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Return each item's value, or a failure if the file does not contain the item."""
        return [guarded(self._look_up, item) for item in items]

    def _look_up(self, item: Item) -> ExternalValue:
        if item.key not in self.entries:
            raise BadItemError(f"{Path(self.config.file).name} has no entry for the picture {item.key}")
        return self.entries[item.key]


def read_contexts(content: bytes, path: Path) -> dict[str, ExternalValue]:
    """Parse a context file of any form and return its values by the name of the image.

    Raises:
        StageError: The content has none of the three forms; the message names the line.
    """
    try:
        text = content.decode("utf-8-sig")
        return {name: line.value(path.name) for name, line in merge_lines(parse_contexts(text)).items()}
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not a caption file: it is not UTF-8 text", FORMS) from error
    except (ValueError, RecursionError) as error:
        raise StageError(f"{path} is not a caption file: {error}", FORMS) from error


def parse_contexts(text: str) -> Iterator[ContextLine]:
    """Parse the text of a context file of any form.

    Raises:
        ValueError: The text has none of the three forms.
    """
    first_line, _, rest = text.lstrip().partition("\n")
    if first_line.startswith("{") and SCHEMA in first_line:
        yield from _parse_context_lines(rest.split("\n"))
        return
    # As pairs, a name that is written twice is read twice.
    is_json = first_line.startswith("{")
    pairs = _parse_json_pairs(json.loads(text, object_pairs_hook=tuple)) if is_json else _parse_caption_lines(text)
    for name, captions in pairs:
        yield ContextLine(image=name, captions=tuple(Caption(text=text, score=None) for text in captions))


def merge_lines(lines: Iterable[ContextLine]) -> dict[str, ContextLine]:
    """Merge the lines of each image: texts add up, and later objects replace earlier ones.

    A name without an ending is the same image as the name with one.

    Raises:
        ValueError: there are two with different endings.
    """
    lines = list(lines)
    endings: dict[str, list[str]] = {}
    for name in dict.fromkeys(line.image for line in lines):
        if (bare := strip_image_suffix(name)) != name:
            endings.setdefault(bare, []).append(name)
    merged: dict[str, ContextLine] = {}
    for line in lines:
        names = endings.get(line.image, ()) if strip_image_suffix(line.image) == line.image else ()
        if len(names) > 1:
            raise ValueError(f"{line.image} could be {names[0]} or {names[1]}: write the file extension")
        name = names[0] if names else line.image
        merged[name] = _join_lines(merged.get(name, ContextLine(image=name)), line)
    return merged


def _join_lines(first: ContextLine, second: ContextLine) -> ContextLine:
    update: dict[str, Any] = {"objects": second.objects or first.objects}
    for part in ("captions", "texts", "knowledge"):
        before, after = getattr(first, part), getattr(second, part)
        update[part] = after if before is None else tuple(dict.fromkeys((*before, *(after or ()))))
    return first.model_copy(update=update)


def format_contexts(lines: Iterable[ContextLine]) -> Iterator[str]:
    """Return the lines of a context file in the third form."""
    yield json.dumps({"schema": SCHEMA}) + "\n"
    for line in lines:
        yield line.model_dump_json(exclude_none=True) + "\n"


def _parse_context_lines(lines: Iterable[str]) -> Iterator[ContextLine]:
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            yield ContextLine.model_validate_json(line)
        except ValidationError as error:
            raise ValueError(f"line {number}: {describe_invalid(error)}") from error


def _parse_caption_lines(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = CAPTION_LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"line {number} is not a picture, a colon and a caption")
        yield match[1], [match[2]] if match[2] else []


def _parse_json_pairs(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Sequence[str]]]:
    for name, entry in pairs:
        captions = [entry] if isinstance(entry, str) else entry
        if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
            raise ValueError(f"the entry {name!r} is neither a caption nor a list of captions")
        yield name, [caption.strip() for caption in captions]
