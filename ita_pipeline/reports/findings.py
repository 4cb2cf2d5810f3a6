"""Results of the stages on one picture, as a page shows them: what was appended to its post, and what was not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ita_pipeline.corpus.contexts import ContextConfig, format_object, select_captions, select_objects, select_words
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.reports.models import Box, CaptionFinding, Findings, ObjectFinding, StageFailure, WordFinding
from stages.base import Failure, Value
from stages.caption.schema import CaptionValue
from stages.external import TextValue
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

MAX_JSON_LENGTH = 600


def collect_findings(results: Results, config: ContextConfig, stages: Sequence[str]) -> Findings:
    """Collect the results on one picture; `stages` without a result are waiting, unless another stage failed."""
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
        objects=tuple(_list_objects(results.get("objects"), config)),
        words=tuple(_list_words(results.get("ocr"), config)),
        captions=tuple(_list_captions(caption, config)),
        caption_source=caption.source if isinstance(caption, CaptionValue) else "",
        others={name: _dump_value(result) for name, result in results.items() if _is_undrawable(result)},
        failed=failed,
        waiting=() if failed else tuple(name for name in stages if name not in results),
    )


def note_unreadable(reason: str) -> Findings:
    """Return the findings in a picture that could not be read."""
    return Findings(failed=(StageFailure(stage="reading", kind="unreadable", reason=reason),))


def _list_objects(value: Value | Failure | None, config: ContextConfig) -> Iterator[ObjectFinding]:
    if not isinstance(value, ObjectsValue):
        return
    appended = set(select_objects(value, config)) if "objects" in config.order else set[str]()
    for item in value.objects:
        tag = format_object(item, config)
        yield ObjectFinding(
            label=item.label,
            score=round(item.score, 4),
            box=_round_box(item.box),
            attributes=tuple((attribute.label, round(attribute.score, 4)) for attribute in item.attributes),
            tag=tag if tag != item.label else "",
            used=item.score >= config.object_score and tag in appended,
        )


def _list_words(value: Value | Failure | None, config: ContextConfig) -> Iterator[WordFinding]:
    if not isinstance(value, OcrValue):
        return
    appended = {id(word) for word in select_words(value, config)} if "ocr" in config.order else set[int]()
    for word in value.words:
        box = _round_box(word.box)
        yield WordFinding(text=word.text, score=round(word.confidence, 4), box=box, used=id(word) in appended)


def _list_captions(value: Value | Failure | None, config: ContextConfig) -> Iterator[CaptionFinding]:
    if not isinstance(value, CaptionValue):
        return
    appended = select_captions(value, config) if "caption" in config.order else []
    for caption in value.captions:
        score = None if caption.score is None else round(caption.score, 4)
        yield CaptionFinding(text=caption.text, score=score, used=caption.text in appended)


def _round_box(box: Sequence[float]) -> Box:
    x0, y0, x1, y1 = (round(side) for side in box)
    return x0, y0, x1, y1


def _is_undrawable(result: Value | Failure) -> bool:
    """Return whether the page shows the value as JSON; contexts that are text are shown as they are."""
    return not isinstance(result, Failure | ObjectsValue | OcrValue | CaptionValue | TextValue)


def _dump_value(result: Value | Failure) -> str:
    text = json.dumps(result.model_dump(mode="json"), ensure_ascii=False)
    return text if len(text) <= MAX_JSON_LENGTH else f"{text[:MAX_JSON_LENGTH]} …"
