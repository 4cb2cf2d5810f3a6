"""Contexts from other programs: VinVL's `predictions.tsv` and the captions of Oscar.

VinVL (microsoft/scene_graph_benchmark, `convert_predictions_to_tsv`) writes an image's key, a tab, and JSON with
`objects`: `rect` (xyxy in pixels), `class`, `conf`, and perhaps `attributes` with `attr_scores`. Features are
dropped. Oscar writes a key, a tab and `[{"caption", "conf"}]`, or one JSON list of `{"image_id", "caption"}`.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import open_regular, read_regular
from ita_pipeline.core.text import decode_text
from ita_pipeline.corpus.formats.conll import SAFE_ID
from stages.base import StageError, clip_rounding
from stages.caption.schema import Caption
from stages.external import MAX_BYTES, ContextLine, merge_lines, parse_contexts
from stages.objects.schema import Attribute, Object, ObjectsValue
from stages.picture_names import match_names, normalize_name, stem_of

# A hundred boxes with features of 2048 numbers in base64 are 1.1 MB.
MAX_LINE_BYTES = 64 << 20

PARTS = ("objects", "captions", "texts", "knowledge")

FORMS = "VinVL's predictions.tsv, Oscar's captions (.tsv or .json), or captions as for --captions"


@dataclass
class ImportedContexts:
    """Contexts of several files by image, and how often a file repeats a part that another file has."""

    lines: dict[str, ContextLine] = field(default_factory=dict)
    repeated: int = 0

    def add(self, lines: Mapping[str, ContextLine]) -> None:
        """Add the lines of a file. Their parts replace the same parts of earlier files.

        Raises:
            ValueError: an image's name stands for two images of the earlier files, or the other way round.
        """
        known = match_names(lines, self.lines)
        for name, line in lines.items():
            parts = {part: value for part, value in line if part != "image" and value is not None}
            earlier = self.lines.get(known.get(name, name), ContextLine(image=name))
            self.repeated += any(getattr(earlier, part) is not None for part in parts)
            self.lines[earlier.image] = earlier.model_copy(update=parts)

    @property
    def counts(self) -> dict[str, int]:
        """The number of images that have each part, without parts that no image has."""
        counts = {part: sum(getattr(line, part) is not None for line in self.lines.values()) for part in PARTS}
        return {part: count for part, count in counts.items() if count}


def read_context_files(files: Sequence[Path], max_line_bytes: int = MAX_LINE_BYTES) -> ImportedContexts:
    """Read and merge the contexts of several files.

    Raises:
        MissingError: a file cannot be read.
        UsageError: a file has no known form, or a line of a table is longer than `max_line_bytes`.
    """
    contexts = ImportedContexts()
    for file in files:
        try:
            contexts.add(merge_lines(_read_file(file, max_line_bytes)))
        except ValueError as error:
            raise UsageError(f"{file}: {error}", "write the same folders and endings in all files") from error
    return contexts


def _read_file(file: Path, max_line_bytes: int) -> Iterator[ContextLine]:
    try:
        with open_regular(file) as lines:
            start = lines.read(4096).removeprefix(codecs.BOM_UTF8)
            lines.seek(0)
            if _is_table(start):
                yield from _read_table(lines, file, max_line_bytes)
                return
        yield from _read_json(file, start)
    except OSError as error:
        raise MissingError(f"{file} cannot be read: {error.strerror}", "check the path") from error


def _is_table(start: bytes) -> bool:
    """Whether a file starts with a key, a tab and JSON."""
    key, tab, value = start.lstrip(b"\r\n").partition(b"\t")
    return bool(tab) and b"\n" not in key and value.lstrip()[:1] in (b"{", b"[")


def _read_table(lines: BinaryIO, file: Path, max_line_bytes: int) -> Iterator[ContextLine]:
    pieces = iter(partial(lines.readline, max_line_bytes + 1), b"")
    for number, content in enumerate(pieces, 1):
        where = f"{file}, line {number}"
        if len(content) > max_line_bytes:
            what = f"{where} is longer than {max_line_bytes >> 20} MB"
            raise UsageError(what, "it is not a file of predictions, or it is damaged")
        if not content.strip():
            continue
        try:
            key, tab, value = decode_text(content, str(file), number).partition("\t")
            if not tab:
                raise ValueError("there is no tab after the picture's key")
            yield _parse_image(_parse_name(key), json.loads(value))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where}: {error}", f"supported are {FORMS}") from error


def _read_json(file: Path, start: bytes) -> Iterator[ContextLine]:
    """Read a list of `{"image_id", "caption"}`, or one of the forms that `--captions` takes."""
    content = read_regular(file, MAX_BYTES)
    try:
        text = decode_text(content, str(file))
        if start.lstrip()[:1] == b"[":
            yield from _parse_caption_list(json.loads(text))
        else:
            yield from parse_contexts(text)
    except (ValueError, RecursionError, StageError) as error:
        raise UsageError(f"{file}: {error}", f"supported are {FORMS}") from error


def _parse_caption_list(entries: Any) -> Iterator[ContextLine]:
    """Several entries for an image are several captions of it, in order."""
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("caption"), str) or "image_id" not in entry:
            raise ValueError(f"entry {number} is not an object with image_id and caption")
        yield ContextLine(image=_parse_name(str(entry["image_id"])), captions=(_parse_caption(entry),))


def _parse_image(name: str, content: Any) -> ContextLine:
    """The objects or captions of one image.

    Raises:
        ValueError: the content is neither.
    """
    details = content if isinstance(content, dict) else {"objects": content}
    items = details.get("objects")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("the text after the tab contains neither objects nor captions")
    if items and all("caption" in item for item in items):
        return ContextLine(image=name, captions=tuple(map(_parse_caption, items)))
    objects = sorted(map(_parse_object, items), key=lambda item: -item.score)
    # Without the image's size in the file, the smallest size that contains every box.
    right = max((item.box[2] for item in objects), default=0)
    bottom = max((item.box[3] for item in objects), default=0)
    width, height = details.get("image_w"), details.get("image_h")
    value = ObjectsValue(
        width=width if isinstance(width, int) else math.ceil(right),
        height=height if isinstance(height, int) else math.ceil(bottom),
        objects=tuple(objects),
    )
    return ContextLine(image=name, objects=value)


def _parse_object(item: Mapping[str, Any]) -> Object:
    box = item.get("rect")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("an object has no rect of four numbers")
    label = item.get("class")
    if not isinstance(label, str) or not label.strip():
        raise ValueError("an object has no class")
    x0, y0, x1, y1 = (_parse_number(side, "rect") for side in box)
    labels, scores = item.get("attributes") or [], item.get("attr_scores")
    if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
        raise ValueError("attributes are not a list of words")
    if not isinstance(scores, list):
        scores = [1.0] * len(labels)  # attributes without scores are those that VinVL itself selected
    scores = [_parse_share(one, "attr_scores") for one in scores]
    if len(scores) != len(labels):
        raise ValueError(f"{len(labels)} attributes have {len(scores)} attr_scores")
    attributes = [Attribute(label=one, score=score) for one, score in zip(labels, scores, strict=True)]
    return Object(
        label=label.strip(),
        score=_parse_share(item.get("conf", 1.0), "conf"),
        box=(x0, y0, x1, y1),
        attributes=tuple(sorted(attributes, key=lambda one: -one.score)),
    )


def _parse_caption(entry: Mapping[str, Any]) -> Caption:
    text, score = entry["caption"], entry.get("conf")
    if not isinstance(text, str):
        raise ValueError("a caption is not a text")
    return Caption(text=text.strip(), score=None if score is None else _parse_share(score, "conf"))


def _parse_number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} is not a number")
    return float(value)


def _parse_share(value: Any, name: str) -> float:
    share = clip_rounding(_parse_number(value, name))
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: {value!r} is not between 0 and 1")
    return share


def _parse_name(key: str) -> str:
    """An image's name from its key, which may be a path."""
    name = normalize_name(key)
    if not SAFE_ID.fullmatch(stem_of(name)):
        raise ValueError(f"{key!r} is not the name of a picture")
    return name
