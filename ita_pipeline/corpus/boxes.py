"""Gold boxes of mentions in Pascal VOC files, one file a picture, as in GMNER and FMNERG.

An `object` has the words of a mention as its `name`, and a `bndbox`. All mentions of these words in the post have
the box. A picture without a file shows none of its post's mentions.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from xml.parsers import expat

from ita_pipeline.core.files import read_regular
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.line_errors import LineError, OnLineError
from ita_pipeline.corpus.posts import Box, Post, Span

MAX_BYTES = 1 << 20

MAX_BOXES = 1000

MAX_DEPTH = 16

_SIDES = ("xmin", "ymin", "xmax", "ymax")

_HINT = "a box is <object><name>WORDS OF A MENTION</name><bndbox><xmin>…; see docs/datasets.md"


@dataclass(frozen=True, slots=True)
class NamedBox:
    """A box, xyxy in pixels, with the words it belongs to and its line in the file."""

    name: str
    box: Box
    line: int


@dataclass(frozen=True, slots=True)
class PictureBoxes:
    """The boxes of a picture of this width and height in pixels, which are NaN if the file does not tell them."""

    boxes: tuple[NamedBox, ...] = ()
    size: tuple[float, float] = (nan, nan)


@dataclass(frozen=True, slots=True)
class BoxFiles:
    """Pascal VOC files of a dataset; `pattern` is a path in `folder` with `{id}`, the picture's name."""

    folder: Path
    pattern: str

    def are_there(self, posts: Iterable[Post]) -> bool:
        """Whether there is a file for any of the posts; without one no box is known."""
        return any(self._file(post).is_file() for post in posts if post.pictures)

    def _file(self, post: Post) -> Path:
        return self.folder / self.pattern.replace("{id}", post.image_id or "")

    def complete(self, post: Post, on_error: OnLineError) -> Post:
        """Return the post with the boxes of its gold mentions. Faulty boxes go to `on_error`."""
        if post.image_id is None or post.gold is None:
            return post
        file = self._file(post)
        try:
            picture = read_boxes(file)
        except LineError as error:
            on_error(error)
            return post
        for error in _find_faults(picture, post, file):
            on_error(error)
        boxes: dict[str, list[Box]] = defaultdict(list)
        for found in picture.boxes:
            boxes[_normalize(found.name)].append(found.box)
        gold = tuple(replace(span, boxes=tuple(boxes[_name(post, span)])) for span in post.gold)
        size = None if isnan(picture.size[0]) else picture.size
        return replace(post, gold=gold, pictures=(replace(post.pictures[0], size=size), *post.pictures[1:]))


def read_boxes(file: Path) -> PictureBoxes:
    """Read a Pascal VOC file; without a file, there are no boxes.

    Raises:
        LineError: the file is too large, is no XML, declares a document type, or has a box without an area.
    """
    try:
        return _Reader(file).read(read_regular(file, MAX_BYTES))
    except FileNotFoundError:
        return PictureBoxes()
    except OSError as error:
        raise _bad_box(file, 1, f"it cannot be read: {error.strerror or error}") from error


@dataclass
class _Reader:
    """Collects the texts of an annotation. A declared document type is refused, and with it every own entity."""

    file: Path
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)
    path: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    name: str = ""
    sides: list[dict[str, str]] = field(default_factory=list)
    size: dict[str, str] = field(default_factory=dict)
    boxes: list[NamedBox] = field(default_factory=list)

    def read(self, content: bytes) -> PictureBoxes:
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add
        try:
            self.parser.Parse(content, True)
        except expat.ExpatError as error:
            raise _bad_box(self.file, error.lineno, f"this is no XML: {expat.ErrorString(error.code)}") from error
        except (ValueError, LookupError) as error:  # an unknown encoding
            raise _bad_box(self.file, 1, f"this is no XML: {error}") from error
        size = _number(self.size, "width"), _number(self.size, "height")
        return PictureBoxes(tuple(self.boxes), size if min(size) > 0 else (nan, nan))

    def _refuse(self, *_: object) -> None:
        raise self._fault("a document type is declared, which may hide anything")

    def _start(self, name: str, _attributes: Mapping[str, str]) -> None:
        self.path.append(name)
        self.text = []
        if len(self.path) > MAX_DEPTH:
            raise self._fault(f"elements are nested more than {MAX_DEPTH} deep")
        if self.path == [name] and name != "annotation":
            raise self._fault(f"its root is {name!r}, not 'annotation'")
        if self.path[1:] == ["object"]:
            self.name, self.sides = "", []
        elif self.path[1:] == ["object", "bndbox"]:
            self.sides.append({})

    def _add(self, text: str) -> None:
        self.text.append(text)

    def _end(self, name: str) -> None:
        text, self.text = " ".join("".join(self.text).split()), []
        match self.path[1:]:
            case ["object", "name"]:
                self.name = text
            case ["object", "bndbox", _]:
                self.sides[-1][name] = text
            case ["object"]:
                for sides in self.sides or [{}]:
                    self._add_box(sides)
            case ["size", _]:
                self.size[name] = text
            case _:
                pass
        self.path.pop()

    def _add_box(self, sides: Mapping[str, str]) -> None:
        x0, y0, x1, y1 = (_number(sides, side) for side in _SIDES)
        if not (x0 < x1 and y0 < y1):
            shown = ", ".join(sides.get(side, "nothing") for side in _SIDES)
            raise self._fault(f"a box of {shown} has no area")
        if len(self.boxes) >= MAX_BOXES:
            raise self._fault(f"there are more than {MAX_BOXES} boxes")
        if not self.name:
            raise self._fault("a box has no name")
        self.boxes.append(NamedBox(self.name, (x0, y0, x1, y1), self.parser.CurrentLineNumber))

    def _fault(self, reason: str) -> LineError:
        return _bad_box(self.file, self.parser.CurrentLineNumber, reason)


def _number(texts: Mapping[str, str], name: str) -> float:
    """The number of this name; NaN if there is none."""
    try:
        value = float(texts.get(name, ""))
    except ValueError:
        return nan
    return value if abs(value) < 1e9 else nan


def _name(post: Post, span: Span) -> str:
    return _normalize(" ".join(" ".join(post.words[span.start : span.end]).split()))


def _normalize(name: str) -> str:
    """A name by which an accent that is a character of its own is the same as one that is not."""
    return unicodedata.normalize("NFC", name)


def _find_faults(picture: PictureBoxes, post: Post, file: Path) -> Iterator[LineError]:
    """Boxes of names that match no mention, and, by the size that the file tells, boxes outside the picture."""
    names = {_name(post, span) for span in post.gold or ()}
    width, height = picture.size
    for found in picture.boxes:
        if _normalize(found.name) not in names:
            reason = f"no mention of post {post.id} has the words {found.name!r}"
            hint = "name the box as the mention's words, with single spaces between them"
            yield LineError(FindingKind.UNMATCHED_BOX, str(file), found.line, reason, hint)
        elif post.picture is None and is_outside(found.box, (width, height)):
            reason = f"the box of {found.name!r} leaves the picture of {width:g}×{height:g}"
            yield LineError(FindingKind.OUTSIDE_BOX, str(file), found.line, reason, _HINT)


def is_outside(box: Box, size: tuple[float, float]) -> bool:
    """Whether a box leaves a picture of this width and height."""
    return min(box[:2]) < 0 or box[2] > size[0] or box[3] > size[1]


def _bad_box(file: Path, line: int, reason: str) -> LineError:
    return LineError(FindingKind.BAD_BOX, str(file), line, reason, _HINT)
