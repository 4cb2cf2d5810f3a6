"""What the stages said of a picture, as a page shows it: what was appended to its post, and what was only found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ita_pipeline.corpus.contexts import ContextConfig, format_object, is_trusted, select_captions, select_objects
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.reports.models import Box, Findings, FoundCaption, FoundObject, FoundWord, Trouble
from stages.base import Failure, Value
from stages.caption.schema import CaptionValue
from stages.external import TextValue
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

MOST_OF_OTHERS = 600


def findings(results: Results, config: ContextConfig, stages: Sequence[str]) -> Findings:
    """What the stages said of one picture. A stage that only waits for one that failed is not waiting."""
    failed = tuple(
        Trouble(stage=name, kind=result.kind, reason=result.reason)
        for name, result in results.items()
        if isinstance(result, Failure)
    )
    width, height = size_of(results)
    caption = results.get("caption")
    return Findings(
        width=width,
        height=height,
        objects=tuple(found_objects(results.get("objects"), config)),
        words=tuple(found_words(results.get("ocr"), config)),
        captions=tuple(found_captions(caption, config)),
        caption_source=caption.source if isinstance(caption, CaptionValue) else "",
        others={name: other(result) for name, result in results.items() if unknown(result)},
        failed=failed,
        waiting=() if failed else tuple(name for name in stages if name not in results),
    )


def size_of(results: Results) -> tuple[int, int]:
    for result in results.values():
        if isinstance(result, ObjectsValue | OcrValue):
            return result.width, result.height
    return 0, 0


def found_objects(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundObject]:
    if not isinstance(value, ObjectsValue):
        return
    tags = set(select_objects(value, config))
    for thing in value.objects:
        tag = format_object(thing, config)
        used = "objects" in config.order and thing.score >= config.object_score
        yield FoundObject(
            label=thing.label,
            score=round(thing.score, 4),
            box=rounded(thing.box),
            attributes=tuple((found.label, round(found.score, 4)) for found in thing.attributes),
            tag=tag if tag != thing.label else "",
            used=used and tag in tags,
        )


def found_words(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundWord]:
    if not isinstance(value, OcrValue):
        return
    room = config.words if "ocr" in config.order else 0
    for word in value.words:
        used = room > 0 and is_trusted(word, config)
        room -= used
        yield FoundWord(text=word.text, score=round(word.confidence, 4), box=rounded(word.box), used=used)


def found_captions(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundCaption]:
    if not isinstance(value, CaptionValue):
        return
    kept = set(select_captions(value, config))
    for caption in value.captions:
        score = None if caption.score is None else round(caption.score, 4)
        yield FoundCaption(text=caption.text, score=score, used="caption" in config.order and caption.text in kept)


def rounded(box: Sequence[float]) -> Box:
    x0, y0, x1, y1 = (round(side) for side in box)
    return x0, y0, x1, y1


def unknown(result: Value | Failure) -> bool:
    """Whether the page has no drawing or line of its own for it; contexts that are text are shown as they are."""
    return not isinstance(result, Failure | ObjectsValue | OcrValue | CaptionValue | TextValue)


def other(result: Value | Failure) -> str:
    text = json.dumps(result.model_dump(mode="json"), ensure_ascii=False)
    return text if len(text) <= MOST_OF_OTHERS else f"{text[:MOST_OF_OTHERS]} …"
