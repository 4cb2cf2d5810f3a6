"""Contexts as other programs write them: VinVL's `predictions.tsv` and the captions of Oscar.

VinVL (microsoft/scene_graph_benchmark, `convert_predictions_to_tsv`) writes a picture's key, a tab, and JSON with
`objects`: `rect` (xyxy in pixels), `class`, `conf`, and perhaps `attributes` with `attr_scores`; features are
dropped. Oscar writes a key, a tab and `[{"caption", "conf"}]`, or one JSON list of `{"image_id", "caption"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.formats.conll import SAFE_ID
from ita_pipeline.sources.identify import SUFFIXES
from stages.base import StageError
from stages.caption.schema import Caption
from stages.external import MAX_BYTES, ContextLine, parse_contexts
from stages.objects.schema import Attribute, Object, ObjectsValue

# A hundred boxes with features of 2048 numbers in base64 are 1.1 MB.
MOST_LINE = 64 << 20

FORMS = "VinVL's predictions.tsv, Oscar's captions (.tsv or .json), or captions as for --captions"


@dataclass
class ImportedContexts:
    """What several files say of pictures, part by part, and how often one said again what was said before."""

    lines: dict[str, ContextLine] = field(default_factory=dict)
    repeated: int = 0

    def add(self, line: ContextLine) -> None:
        said = {name: value for name, value in line if name != "image" and value is not None}
        before = self.lines.get(line.image, ContextLine(image=line.image))
        self.repeated += any(getattr(before, name) is not None for name in said)
        self.lines[line.image] = before.model_copy(update=said)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures that have objects, captions, texts, knowledge."""
        parts = ("objects", "captions", "texts", "knowledge")
        found = {part: sum(getattr(line, part) is not None for line in self.lines.values()) for part in parts}
        return {part: count for part, count in found.items() if count}


def read_context_files(files: Sequence[Path]) -> ImportedContexts:
    """The contexts of several files in one.

    Raises:
        MissingError: a file cannot be read.
        UsageError: a file is in none of the forms; the message names the line.
    """
    found = ImportedContexts()
    for file in files:
        for line in read(file):
            found.add(line)
    return found


def read(file: Path) -> Iterator[ContextLine]:
    try:
        with file.open("rb") as lines:
            start = lines.read(4096)
            lines.seek(0)
            if is_table(start):
                yield from from_table(lines, file)
                return
        yield from from_whole(file, start)
    except OSError as error:
        raise MissingError(f"{file} cannot be read: {error.strerror}", "check its name") from error


def is_table(start: bytes) -> bool:
    """Whether a key, a tab and JSON stand at the beginning."""
    key, tab, value = start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").partition(b"\t")
    return bool(tab) and b"\n" not in key and value.lstrip()[:1] in (b"{", b"[")


def from_table(lines: BinaryIO, file: Path) -> Iterator[ContextLine]:
    number = 0
    while content := lines.readline(MOST_LINE + 1):
        number += 1
        where = f"{file}, line {number}"
        if len(content) > MOST_LINE:
            raise UsageError(
                f"{where} is longer than {MOST_LINE >> 20} MB", "it is no file of predictions, or damaged"
            )
        if not content.strip():
            continue
        try:
            key, tab, value = content.decode("utf-8-sig" if number == 1 else "utf-8").partition("\t")
            if not tab:
                raise ValueError("there is no tab behind the picture's key")
            yield of_picture(picture_id(key), json.loads(value))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where}: {error}", f"read are {FORMS}") from error


def from_whole(file: Path, start: bytes) -> Iterator[ContextLine]:
    """A list of `{"image_id", "caption"}`, or one of the forms that `--captions` takes."""
    if file.stat().st_size > MAX_BYTES:
        raise UsageError(f"{file} is larger than {MAX_BYTES >> 30} GiB", "split the file")
    try:
        text = file.read_text("utf-8-sig")
        if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            yield from of_caption_list(json.loads(text))
        else:
            yield from parse_contexts(text)
    except (ValueError, RecursionError, StageError) as error:
        raise UsageError(f"{file}: {error}", f"read are {FORMS}") from error


def of_caption_list(entries: Any) -> Iterator[ContextLine]:
    """Several entries for a picture are several captions of it, in order."""
    found: dict[str, list[Caption]] = {}
    for place, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("caption"), str) or "image_id" not in entry:
            raise ValueError(f"entry {place} is not an object with image_id and caption")
        found.setdefault(picture_id(str(entry["image_id"])), []).append(caption_of(entry))
    for name, captions in found.items():
        yield ContextLine(image=name, captions=tuple(captions))


def of_picture(name: str, content: Any) -> ContextLine:
    """
    Raises:
        ValueError: it is neither objects nor captions.
    """
    things = content.get("objects") if isinstance(content, dict) else content
    if not isinstance(things, list) or not all(isinstance(thing, dict) for thing in things):
        raise ValueError("behind the tab stand neither objects nor captions")
    if things and all("caption" in thing for thing in things):
        return ContextLine(image=name, captions=tuple(caption_of(thing) for thing in things))
    objects = sorted((object_of(thing) for thing in things), key=lambda thing: -thing.score)
    size = content if isinstance(content, dict) else {}
    return ContextLine(image=name, objects=value_of(objects, size))


def value_of(objects: Sequence[Object], size: Mapping[str, Any]) -> ObjectsValue:
    """Where the file does not say how large the picture is, the smallest size that holds every box."""
    right = max((thing.box[2] for thing in objects), default=0)
    bottom = max((thing.box[3] for thing in objects), default=0)
    width, height = size.get("image_w"), size.get("image_h")
    return ObjectsValue(
        width=width if isinstance(width, int) else math.ceil(right),
        height=height if isinstance(height, int) else math.ceil(bottom),
        objects=tuple(objects),
    )


def object_of(thing: Mapping[str, Any]) -> Object:
    box = thing.get("rect")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("an object has no rect of four numbers")
    label = thing.get("class")
    if not isinstance(label, str) or not label.strip():
        raise ValueError("an object has no class")
    x0, y0, x1, y1 = (number(side, "rect") for side in box)
    labels, scores = thing.get("attributes") or [], thing.get("attr_scores")
    if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
        raise ValueError("attributes are not a list of words")
    # Without scores, attributes are those that VinVL itself found good enough.
    certain = [1.0] * len(labels)
    scores = [unit(one, "attr_scores") for one in scores] if isinstance(scores, list) else certain
    if len(scores) != len(labels):
        raise ValueError(f"{len(labels)} attributes have {len(scores)} attr_scores")
    named = [Attribute(label=one, score=score) for one, score in zip(labels, scores, strict=True)]
    return Object(
        label=label.strip(),
        score=unit(thing.get("conf", 1.0), "conf"),
        box=(x0, y0, x1, y1),
        attributes=tuple(sorted(named, key=lambda one: -one.score)),
    )


def caption_of(entry: Mapping[str, Any]) -> Caption:
    text, score = entry["caption"], entry.get("conf")
    if not isinstance(text, str):
        raise ValueError("a caption is no text")
    return Caption(text=text.strip(), score=None if score is None else unit(score, "conf"))


def number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} is no number")
    return float(value)


def unit(value: Any, name: str) -> float:
    found = number(value, name)
    if not 0 <= found <= 1:
        raise ValueError(f"{name}: {value!r} does not lie in 0..1")
    return found


def picture_id(key: str) -> str:
    """A picture's id by its key, which may be a file's name."""
    name = key.strip().replace("\\", "/").rpartition("/")[2]
    name = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
    if not SAFE_ID.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"{key!r} is no name of a picture")
    return name
