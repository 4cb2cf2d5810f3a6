"""Tasks of Label Studio, read: the JSON that it exports, by https://labelstud.io/guide/task_format.

Offsets of mentions count code points, as in Python (https://labelstud.io/tags/text). Boxes are in percent of the
picture, and may be turned (https://labelstud.io/tags/rectanglelabels).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import is_small_file, open_regular, read_regular
from ita_pipeline.core.text import clean_line
from ita_pipeline.corpus.formats.fields import parse_fields
from ita_pipeline.corpus.formats.label_studio_writer import NOT_SHOWN
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Box, Picture, Post
from ita_pipeline.sources.columns import ID_COLUMNS, IMAGE_COLUMNS, IMAGE_LIST_COLUMNS, TEXT_COLUMNS, find_column
from ita_pipeline.sources.decode import MAX_BYTES
from stages.base import describe_invalid
from stages.objects.schema import Object, ObjectsValue

# What Label Studio puts before the name of an uploaded file.
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")

IMAGES = (*IMAGE_COLUMNS, *IMAGE_LIST_COLUMNS)

MAX_TASKS_BYTES = 1 << 30

MAX_SIDE = 1 << 20  # pixels

UNLABELED = "tasks without an annotation, read as unlabeled posts"
SEVERAL = "tasks with several annotations, of which the ground truth counts, else the newest"
NOT_FOUND = "pictures that are neither beside the file nor below --data, and remain where they are"

_FORM = "export the project from Label Studio in its form JSON, not JSON-MIN"


class _Region(BaseModel):
    """A region, or a relation between two, which has the ids of both."""

    type: str
    id: str = ""
    value: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    from_id: str = ""
    to_id: str = ""
    original_width: int = Field(0, le=MAX_SIDE)
    original_height: int = Field(0, le=MAX_SIDE)
    item_index: int = 0


class _Annotation(BaseModel):
    result: list[_Region]
    was_cancelled: bool = False
    ground_truth: bool = False
    updated_at: str = ""


class _Task(BaseModel):
    id: int | str | None = None
    data: dict[str, Any]
    annotations: list[_Annotation] = Field([], validation_alias=AliasChoices("annotations", "completions"))


class _Offsets(BaseModel):
    """The value of a region of the type `labels`."""

    start: int = Field(ge=0)
    end: int
    text: str | None = None
    labels: list[str]

    def fits(self, text: str) -> bool:
        """Whether the text of the region is at its offsets, as far as it has one."""
        if self.text is None:
            return True
        return self.end <= len(text) and _squash(text[self.start : self.end]) == _squash(self.text)

    def from_utf16(self, text: str) -> _Offsets:
        """The same region with offsets in code points, if its own are in units of UTF-16."""
        units = text.encode("utf-16-le")
        start, end = (len(units[: 2 * at].decode("utf-16-le", "replace")) for at in (self.start, self.end))
        return self.model_copy(update={"start": start, "end": end if 2 * self.end <= len(units) else self.end})


class _Rectangle(BaseModel):
    """The value of a region of the type `rectanglelabels`, in percent, turned clockwise about its corner (x, y)."""

    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat
    height: FiniteFloat
    rotation: FiniteFloat = 0
    rectanglelabels: list[str]

    def to_pixels(self, width: int, height: int) -> Box:
        """The box within a picture of this size; of a turned box, the upright one around it."""
        angle = math.radians(self.rotation)
        x, y, w, h = self.x * width, self.y * height, self.width * width, self.height * height
        dx = (0.0, w * math.cos(angle), -h * math.sin(angle), w * math.cos(angle) - h * math.sin(angle))
        dy = (0.0, w * math.sin(angle), h * math.cos(angle), w * math.sin(angle) + h * math.cos(angle))
        left, right = (round(min(max((x + side) / 100, 0), width), 4) for side in (min(dx), max(dx)))
        top, bottom = (round(min(max((y + side) / 100, 0), height), 4) for side in (min(dy), max(dy)))
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class _Box:
    """A box of a region, by its id, in a picture of this number and size."""

    region: str
    picture: int
    size: tuple[int, int]
    box: Box
    labels: Sequence[str]


def is_task_file(path: Path) -> bool:
    """Whether a file is a list in JSON, as Label Studio exports tasks."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        with open_regular(path) as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    except OSError:
        return False


@dataclass
class TaskReader:
    """Reads the tasks of a file. Pictures are looked for below `folders`, and their names are paths there.

    `objects` are the boxes of each picture, and `counts` what cannot be read as it is, or only approximately.
    """

    file: Path
    folders: Sequence[Path]
    text_key: str | None = None
    image_key: str | None = None
    objects: dict[str, ObjectsValue] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def read(self) -> Iterator[tuple[str, Post]]:
        """The posts, each with its split, or without one an empty text.

        Raises:
            MissingError: the file cannot be read.
            UsageError: it is no export of Label Studio, or a region is invalid.
        """
        try:
            tasks = TypeAdapter(list[_Task]).validate_json(read_regular(self.file, MAX_TASKS_BYTES))
        except OSError as error:
            raise MissingError(f"{self.file} cannot be read: {error.strerror}", "name an exported file") from error
        except ValidationError as error:
            raise UsageError(
                f"{self.file} is not a list of tasks: {_describe_invalid_tasks(error)}", _FORM
            ) from error
        for number, task in enumerate(tasks, 1):
            where = f"{self.file}, task {number if task.id is None else task.id}"
            try:
                yield self._read_task(task, number, where)
            except ValidationError as error:
                raise UsageError(f"{where}: {describe_invalid(error)}", _FORM) from error
            except LineError as error:
                raise UsageError(f"{where}: {error.reason}", "correct the task in Label Studio") from error

    def _read_task(self, task: _Task, number: int, where: str) -> tuple[str, Post]:
        data = task.data
        text_key = find_column(data, TEXT_COLUMNS, self.text_key)
        if text_key is None:
            what = f"{where} has no text; its data are {', '.join(map(clean_line, data))}"
            raise UsageError(what, f"one of {', '.join(TEXT_COLUMNS)}, or name it: --text-column")
        fields: dict[str, Any] = {name: data[name] for name in ("tokens", "split") if data.get(name)}
        id_key = find_column([name for name in data if data[name]], ID_COLUMNS)
        fields |= {"id": str(data[id_key] if id_key else task.id or number), "text": data[text_key]}
        pictures = self._find_pictures(data, find_column(data, IMAGES, self.image_key))
        annotation = self._choose_annotation(task.annotations)
        if annotation is not None:
            fields["mentions"] = self._read_regions(annotation, str(data[text_key]), pictures, where)
        parsed = parse_fields(fields, number, where, self.file.parent)
        return parsed.split or "", replace(parsed.post, pictures=pictures)

    def _choose_annotation(self, annotations: Sequence[_Annotation]) -> _Annotation | None:
        """The ground truth, else the newest annotation; those that the annotator skipped do not count."""
        done = [annotation for annotation in annotations if not annotation.was_cancelled]
        self.counts[UNLABELED] += not done
        self.counts[SEVERAL] += len(done) > 1
        return max(done, key=lambda one: (one.ground_truth, one.updated_at), default=None)

    def _read_regions(
        self, annotation: _Annotation, text: str, pictures: Sequence[Picture], where: str
    ) -> list[dict[str, Any]]:
        """The mentions of an annotation, with the boxes that relations link to them. Other boxes are objects."""
        regions: dict[str, list[_Region]] = {kind: [] for kind in ("labels", "rectanglelabels", "relation")}
        for region in annotation.result:
            if region.type in regions:
                regions[region.type].append(region)
            else:
                self.counts[f"regions of the type {clean_line(region.type)} that are left out"] += 1
        boxes = [box for region in regions["rectanglelabels"] if (box := self._read_box(region, pictures))]
        linked = self._link(regions, {box.region: box for box in boxes if box.picture == 0})
        mentions: list[dict[str, Any]] = []
        for region, value in zip(
            regions["labels"], self._read_offsets(regions["labels"], text, where), strict=True
        ):
            for label in value.labels:
                mention: dict[str, Any] = {"start": value.start, "end": value.end, "type": label}
                if region.id in linked:
                    mention["boxes"] = [box.box for box in linked[region.id]]
                elif NOT_SHOWN in str(region.meta.get("text")):
                    mention["boxes"] = []
                mentions.append(mention)
        of_mentions = {box.region for linked_boxes in linked.values() for box in linked_boxes}
        types = {mention["type"] for mention in mentions}
        for box in boxes:
            labels = [name for name in box.labels if box.region not in of_mentions or name not in types]
            self._add_objects(pictures[box.picture].name, box, labels)
        return mentions

    def _link(self, regions: Mapping[str, list[_Region]], boxes: Mapping[str, _Box]) -> dict[str, list[_Box]]:
        """The boxes of each mention, by its id."""
        mentions = {region.id for region in regions["labels"]}
        linked: dict[str, list[_Box]] = {}
        for relation in regions["relation"]:
            ends = (relation.from_id, relation.to_id)
            mention, box = ends if ends[0] in mentions else ends[::-1]
            if mention in mentions and box in boxes:
                linked.setdefault(mention, []).append(boxes[box])
            else:
                self.counts["relations between others than a mention and a box, which are left out"] += 1
        return linked

    def _read_offsets(self, regions: Sequence[_Region], text: str, where: str) -> list[_Offsets]:
        """The values of mentions. Old versions of Label Studio counted units of UTF-16."""
        values = [_Offsets.model_validate(region.value) for region in regions]
        wrong = next((value for value in values if not value.fits(text)), None)
        if wrong is not None:
            values = [value.from_utf16(text) for value in values]
            if not all(value.fits(text) for value in values):
                found = text[wrong.start : wrong.end]
                what = f"{where}: at {wrong.start}–{wrong.end} stands {found!r}, not {wrong.text!r}"
                raise UsageError(what, "the text has changed since; mark the mention again in Label Studio")
            self.counts["mentions with offsets in UTF-16, which are converted"] += len(values)
        return values

    def _read_box(self, region: _Region, pictures: Sequence[Picture]) -> _Box | None:
        size = (region.original_width, region.original_height)
        if not 0 <= region.item_index < len(pictures) or min(size) <= 0:
            self.counts["boxes without a picture or its size, which are left out"] += 1
            return None
        value = _Rectangle.model_validate(region.value)
        self.counts["turned boxes, read as the upright boxes around them"] += value.rotation % 360 != 0
        return _Box(region.id, region.item_index, size, value.to_pixels(*size), value.rectanglelabels)

    def _add_objects(self, name: str, box: _Box, labels: Sequence[str]) -> None:
        if labels:
            width, height = box.size
            before = self.objects.get(name, ObjectsValue(width=width, height=height, objects=()))
            new = (Object(label=label, score=1.0, box=box.box, attributes=()) for label in labels)
            objects = tuple(dict.fromkeys((*before.objects, *new)))
            self.objects[name] = before.model_copy(update={"objects": objects})

    def _find_pictures(self, data: Mapping[str, Any], key: str | None) -> tuple[Picture, ...]:
        value = data[key] if key else None
        urls = value if isinstance(value, list) else [value]
        return tuple(self._find_picture(str(url).replace("\0", "")) for url in urls if url)

    def _find_picture(self, url: str) -> Picture:
        """The picture of an address, by its path without leading folders that are not there.

        The path of a local file begins with the folder that Label Studio serves, which is no part of the name.
        """
        try:
            address = urlsplit(url)
            local = parse_qs(address.query).get("d")
            path = local[0] if local else unquote(address.path)
        except ValueError:  # such as an impossible host
            local, path = None, url
        names = [name for name in PurePosixPath(path).parts if name not in ("/", "..")] or ["picture"]
        root = int(local is not None and len(names) > 1)
        for folder in self.folders:
            for first in range(len(names)):
                for last in dict.fromkeys((names[-1], _UPLOAD_PREFIX.sub("", names[-1]))):
                    file = folder.joinpath(*names[first:-1], last)
                    if is_small_file(file, MAX_BYTES):
                        return Picture("/".join((*names[max(first, root) : -1], last)), file)
        self.counts[NOT_FOUND] += 1
        return Picture("/".join(names[root:]) if local else f"images/{names[-1][-100:]}")

    def notes(self) -> Iterator[str]:
        """What was not read, or not as it is."""
        yield from (f"{what}: {number}" for what, number in self.counts.items() if number)


def _squash(text: str) -> str:
    """A text without differences in white space, which Label Studio may write in another way."""
    return " ".join(text.replace("\\n", " ").split())


def _describe_invalid_tasks(error: ValidationError) -> str:
    """Describe why a file is no list of tasks, which are counted from 1."""
    problem = re.sub(r"^\[(\d+)\](\.| )", lambda found: f"task {int(found[1]) + 1}: ", describe_invalid(error))
    problem = re.sub(r"EOF while parsing .* at line (\d+).*", r"the file ends early, in line \1", problem)
    return problem.replace("it must be an array", "the file must contain a list of tasks")
