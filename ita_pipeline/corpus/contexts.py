"""Contexts: what the stages found in a picture, as the text that is appended to a tweet.

The three alignments of ITA (Wang et al., NAACL 2022): LA, object tags with attributes, "attr obj, attr obj";
GA, captions; OCA, the words in the picture. After PGIM (Li et al., Findings of EMNLP 2023), what a language model
knows about the post. The cache holds everything a stage found; thresholds, counts and order are applied here, so
changing them runs no stage again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from pydantic import Field

from ita_pipeline.core.text import clean_line
from stages.base import Failure, Frozen, Value
from stages.caption.schema import CaptionValue
from stages.external import TextValue
from stages.knowledge.schema import KnowledgeValue
from stages.objects.schema import Object, ObjectsValue, tag
from stages.ocr.schema import OcrValue, Word

CONTEXTS = ("objects", "caption", "ocr", "extra", "knowledge")

# Ready-made and from a file; every other context is what the stage of that name finds.
READY_MADE = "extra"

ContextName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]

Unit = Annotated[float, Field(ge=0, le=1)]


class ContextConfig(Frozen):
    """Which contexts are appended, in which order, and how much of each. `extra` is what a file has ready-made; any
    other name that is not ours is a stage of somebody else's, whose values say what is appended of them.

    The default order, objects · captions · OCR words, is the one that a re-implementation quotes from the
    paper; the reference data's folder name has captions first.
    """

    order: tuple[ContextName, ...] = CONTEXTS
    object_score: Unit = 0.2
    objects: Annotated[int, Field(ge=0)] = 20
    attribute_score: Unit = 0.3
    attributes: Annotated[int, Field(ge=0)] = 1
    captions: Annotated[int, Field(ge=0)] = 5
    word_confidence: Unit = 0.6
    word_characters: Annotated[int, Field(ge=1)] = 2
    words: Annotated[int, Field(ge=0)] = 100
    knowledge_subtokens: Annotated[int, Field(ge=0)] = 160


class ReservedContext(str):
    """A context with room of its own: `most` sub-tokens at most, for which the others make room."""

    max_subtokens: int

    def __new__(cls, text: str, most: int) -> ReservedContext:
        made = super().__new__(cls, text)
        made.max_subtokens = most
        return made


def stage_names(order: Iterable[str]) -> list[str]:
    """The stages that find these contexts."""
    return [name for name in order if name != READY_MADE]


def render(results: Mapping[str, Value | Failure], config: ContextConfig) -> tuple[str, ...]:
    """The contexts of one picture in their order; an empty one, or one whose stage failed, is left out."""
    texts: list[str] = []
    for name in config.order:
        result = results.get(name)
        if result is not None and not isinstance(result, Failure):
            rendered = RENDERERS[name](result, config) if name in RENDERERS else result.as_context()
            said = [clean_line(text) for text in rendered]
            texts += [ReservedContext(t, config.knowledge_subtokens) for t in said] if name == "knowledge" else said
    return tuple(text for text in texts if text)


def render_objects(value: Value, config: ContextConfig) -> list[str]:
    assert isinstance(value, ObjectsValue)
    kept = [thing for thing in value.objects if thing.score >= config.object_score]
    tags = unique(format_object(thing, config) for thing in kept)[: config.objects]
    return [", ".join(tags)]


def format_object(thing: Object, config: ContextConfig) -> str:
    """In small letters, as VinVL's labels are: COCO writes "person", and Objects365 "Person"."""
    attributes = [a.label for a in thing.attributes if a.score >= config.attribute_score]
    return tag(thing.label.lower(), attributes[: config.attributes])


def render_caption(value: Value, config: ContextConfig) -> list[str]:
    assert isinstance(value, CaptionValue)
    return unique(caption.text for caption in value.captions)[: config.captions]


def render_ocr(value: Value, config: ContextConfig) -> list[str]:
    assert isinstance(value, OcrValue)
    kept = [word.text for word in value.words if is_trusted(word, config)]
    return [" ".join(kept[: config.words])]


def is_trusted(word: Word, config: ContextConfig) -> bool:
    letters = sum(character.isalnum() for character in word.text)
    return word.confidence >= config.word_confidence and letters >= config.word_characters


def render_extra(value: Value, config: ContextConfig) -> list[str]:
    assert isinstance(value, TextValue)
    return list(value.texts)


def render_knowledge(value: Value, config: ContextConfig) -> list[str]:
    """One text, however many a file has, since they share the room."""
    if isinstance(value, TextValue):
        return [" ".join(value.texts)]
    assert isinstance(value, KnowledgeValue)
    return [value.text]


RENDERERS: dict[str, Callable[[Value, ContextConfig], list[str]]] = {
    "objects": render_objects,
    "caption": render_caption,
    "ocr": render_ocr,
    "extra": render_extra,
    "knowledge": render_knowledge,
}


def unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
