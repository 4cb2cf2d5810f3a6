"""Results of the stages on one picture, as a page shows them: what was appended to its post, and what was not."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ita_pipeline.corpus.contexts import (
    ContextConfig,
    format_object,
    select_captions,
    select_lines,
    select_objects,
    select_values,
)
from ita_pipeline.extraction.contexts import Results
from stages.base import Failure, Frozen, Value
from stages.caption.schema import CaptionValue
from stages.external import TextValue
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

Box = tuple[int, int, int, int]

Key = TypeVar("Key", bound=Hashable)

MAX_JSON_LENGTH = 600

# What the page draws, or shows as text in another place; other values are shown as JSON.
DRAWN = Failure | ObjectsValue | OcrValue | CaptionValue | TextValue


class ObjectFinding(Frozen):
    """A detected object; `box` is (x0, y0, x1, y1) in pixels, and `used` means appended to the post.

    `piece` is then its position in the context. Objects with the same tag share a piece.

    `tag` is the label with its attributes as appended, or empty if that equals the label.
    """

    label: str
    score: float
    box: Box
    attributes: tuple[tuple[str, float], ...] = ()
    tag: str = ""
    used: bool = True
    piece: int | None = None


class WordFinding(Frozen):
    """A word read in the picture; `box`, `used` and `piece` as in `ObjectFinding`."""

    text: str
    score: float
    box: Box
    used: bool = True
    piece: int | None = None


class CaptionFinding(Frozen):
    """A caption of the picture; `used` and `piece` as in `ObjectFinding`."""

    text: str
    score: float | None = None
    used: bool = True
    piece: int | None = None


class StageFailure(Frozen):
    """A stage that failed on the picture, and the reason."""

    stage: str
    kind: str
    reason: str


class Findings(Frozen):
    """Results of all stages on one picture; `width` and `height` are in pixels of the upright picture.

    `others` are the values, as JSON, of stages that the page cannot draw. `waiting` are stages without a result.
    """

    width: int = 0
    height: int = 0
    objects: tuple[ObjectFinding, ...] = ()
    words: tuple[WordFinding, ...] = ()
    captions: tuple[CaptionFinding, ...] = ()
    caption_source: str = ""
    others: Mapping[str, str] = {}
    failed: tuple[StageFailure, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def scores(self) -> Iterator[float]:
        """The scores of the objects and words that were appended to the post."""
        yield from (finding.score for finding in self.objects if finding.used)
        yield from (finding.score for finding in self.words if finding.used)


def collect_findings(
    results: Results, config: ContextConfig, stages: Sequence[str], post: Sequence[Results] = ()
) -> Findings:
    """Collect the results on one picture; `stages` without a result are waiting, unless another stage failed.

    `post` are the results on all pictures of its post, by default on this one, of which some were appended.
    """
    post = post or [results]
    values = {name: select_values(name, post) for name in ("objects", "ocr", "caption")}
    failed = tuple(
        StageFailure(stage=name, kind=result.kind, reason=result.reason)
        for name, result in results.items()
        if isinstance(result, Failure)
    )
    sized = next((r for r in results.values() if isinstance(r, ObjectsValue | OcrValue)), None)
    caption = results.get("caption")
    return Findings(
        width=sized.width if sized else 0,
        height=sized.height if sized else 0,
        objects=tuple(_list_objects(results.get("objects"), config, values["objects"])),
        words=tuple(_list_words(results.get("ocr"), config, values["ocr"])),
        captions=tuple(_list_captions(caption, config, values["caption"])),
        caption_source=caption.source if isinstance(caption, CaptionValue) else "",
        others={name: _dump_value(result) for name, result in results.items() if not isinstance(result, DRAWN)},
        failed=failed,
        waiting=() if failed else tuple(name for name in stages if name not in results),
    )


def _list_objects(
    value: Value | Failure | None, config: ContextConfig, post: Sequence[Value]
) -> Iterator[ObjectFinding]:
    if not isinstance(value, ObjectsValue):
        return
    pieces = _positions(select_objects(post, config) if "objects" in config.order else ())
    for item in value.objects:
        tag = format_object(item, config)
        piece = pieces.get(tag) if item.score >= config.object_score else None
        yield ObjectFinding(
            label=item.label,
            score=round(item.score, 4),
            box=_round_box(item.box),
            attributes=tuple((attribute.label, round(attribute.score, 4)) for attribute in item.attributes),
            tag=tag if tag != item.label else "",
            used=piece is not None,
            piece=piece,
        )


def _list_words(
    value: Value | Failure | None, config: ContextConfig, post: Sequence[Value]
) -> Iterator[WordFinding]:
    if not isinstance(value, OcrValue):
        return
    lines = select_lines(post, config) if "ocr" in config.order else []
    pieces = _positions(id(word) for line in lines for word in line)
    for word in value.words:
        box, piece = _round_box(word.box), pieces.get(id(word))
        score = round(word.confidence, 4)
        yield WordFinding(text=word.text, score=score, box=box, used=piece is not None, piece=piece)


def _list_captions(
    value: Value | Failure | None, config: ContextConfig, post: Sequence[Value]
) -> Iterator[CaptionFinding]:
    if not isinstance(value, CaptionValue):
        return
    pieces = _positions(select_captions(post, config) if "caption" in config.order else ())
    for caption in value.captions:
        score, piece = None if caption.score is None else round(caption.score, 4), pieces.get(caption.text)
        yield CaptionFinding(text=caption.text, score=score, used=piece is not None, piece=piece)


def _positions(appended: Iterable[Key]) -> dict[Key, int]:
    """Return the position of each appended piece in its context."""
    return {piece: position for position, piece in enumerate(appended)}


def _round_box(box: Sequence[float]) -> Box:
    x0, y0, x1, y1 = (round(side) for side in box)
    return x0, y0, x1, y1


def _dump_value(result: Value | Failure) -> str:
    text = json.dumps(result.model_dump(mode="json"), ensure_ascii=False)
    return text if len(text) <= MAX_JSON_LENGTH else f"{text[:MAX_JSON_LENGTH]} …"
