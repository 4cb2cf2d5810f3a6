"""Contexts: the text that is appended to a tweet, rendered from the values of the stages.

The three alignments of ITA (Wang et al., NAACL 2022): LA, object tags with attributes, "attr obj, attr obj";
GA, captions; OCA, the words in the image. After PGIM (Li et al., Findings of EMNLP 2023), a language model's
knowledge about the post. The cache holds the complete values; thresholds, counts and order are applied here, so
that changing them reruns no stage.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field

from ita_pipeline.core.text import clean_line
from ita_pipeline.corpus.posts import join_words
from ita_pipeline.corpus.tokenizer import has_unspaced
from stages.base import Failure, Frozen, Value
from stages.caption.schema import CaptionValue
from stages.external import TextValue
from stages.knowledge.schema import KnowledgeValue
from stages.languages import Language, load_words
from stages.objects.schema import Object, ObjectsValue, tag
from stages.ocr.schema import OcrValue, Word

T = TypeVar("T")

Groups = Iterable[Sequence[str]]

CONTEXTS = ("objects", "caption", "ocr", "extra", "knowledge")

# The context that a file contains as text; every other context is the value of the stage of that name.
READY_MADE = "extra"

ContextName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]

# Words of a script without spaces belong together below this gap, as a share of their height.
MAX_GAP = 0.25

Unit = Annotated[float, Field(ge=0, le=1)]


class ContextConfig(Frozen):
    """Which contexts are appended, in which order, and how much of each.

    `extra` is text from a file. Any name that is not in `CONTEXTS` is a stage of another package, whose values
    render themselves. The default order, objects · captions · OCR words, is the one that a re-implementation quotes
    from the paper; the reference data's folder name has captions first. `language` is that of object tags, empty
    for English.
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
    language: Language = ""


class ReservedContext(str):
    """A context that is allocated up to `max_subtokens` sub-tokens before all other contexts."""

    max_subtokens: int

    def __new__(cls, text: str, max_subtokens: int) -> ReservedContext:
        """Create the text with its allocation."""
        context = super().__new__(cls, text)
        context.max_subtokens = max_subtokens
        return context


def stage_names(order: Iterable[str]) -> list[str]:
    """The stages that these contexts are rendered from."""
    return [name for name in order if name != READY_MADE]


def render(
    results: Mapping[str, Value | Failure], config: ContextConfig, *others: Mapping[str, Value | Failure]
) -> tuple[str, ...]:
    """Render the contexts of one image, in their order, without empty ones and those whose stage failed.

    `others` are the results for further images of the post. What all images say is joined, and limited together.
    """
    return join_pieces(list_pieces(results, config, *others), config)


@dataclass(frozen=True, slots=True)
class ContextPiece:
    """The smallest part of a context: an object's tag, a word in the image, a caption, or a whole other text.

    `position` counts the pieces of a context from 0. The words of a line in the image have the same `group`; every
    other piece has its own.
    """

    context: str
    position: int
    group: int
    text: str


def list_pieces(
    results: Mapping[str, Value | Failure], config: ContextConfig, *others: Mapping[str, Value | Failure]
) -> tuple[ContextPiece, ...]:
    """List the pieces of the contexts that `render` joins; its arguments are the same."""
    pieces: list[ContextPiece] = []
    for name in config.order:
        values = select_values(name, (results, *others))
        if not values:
            continue
        own = ([text] for value in values for text in value.as_context()) if name not in GROUPS else ()
        groups = GROUPS[name](values, config) if name in GROUPS else own
        grouped = [(group, text) for group, texts in enumerate(groups) for text in texts]
        pieces += [ContextPiece(name, position, *piece) for position, piece in enumerate(grouped)]
    return tuple(pieces)


def join_pieces(pieces: Iterable[ContextPiece], config: ContextConfig) -> tuple[str, ...]:
    """Join pieces, in their order, to the contexts that are appended."""
    return tuple(text for _, text in join_named_pieces(pieces, config))


def join_named_pieces(pieces: Iterable[ContextPiece], config: ContextConfig) -> tuple[tuple[str, str], ...]:
    """Do what `join_pieces` does; each context is given with its name."""
    contexts: list[tuple[str, str]] = []
    for name, members in itertools.groupby(pieces, lambda piece: piece.context):
        texts = [piece.text for piece in members]
        texts = [JOINERS[name](texts, config)] if name in JOINERS else texts
        for text in filter(None, map(clean_line, texts)):
            is_reserved = name == "knowledge"
            contexts.append((name, ReservedContext(text, config.knowledge_subtokens) if is_reserved else text))
    return tuple(contexts)


def select_values(name: str, results: Iterable[Mapping[str, Value | Failure]]) -> list[Value]:
    """The values of a stage on the images of a post, in order."""
    found = (result.get(name) for result in results)
    return [value for value in found if value is not None and not isinstance(value, Failure)]


def select_objects(values: Iterable[Value], config: ContextConfig) -> list[str]:
    """The tags of the objects that are appended, best first, each once; the images of a post take turns."""
    objects = [value.objects for value in values if isinstance(value, ObjectsValue)]
    certain = [[item for item in items if item.score >= config.object_score] for items in objects]
    return unique(format_object(item, config) for item in _take_turns(certain))[: config.objects]


def format_object(item: Object, config: ContextConfig) -> str:
    """An object's tag in lower case, as in VinVL: COCO writes "person" and Objects365 "Person"."""
    attributes = [a.label for a in item.attributes if a.score >= config.attribute_score][: config.attributes]
    words = load_words(config.language)
    return words.name(item.label.lower(), attributes) if words else tag(item.label.lower(), attributes)


def select_captions(values: Iterable[Value], config: ContextConfig) -> list[str]:
    """The captions that are appended, best first, each once; the images of a post take turns."""
    captions = [value.captions for value in values if isinstance(value, CaptionValue)]
    return unique(caption.text for caption in _take_turns(captions))[: config.captions]


def select_lines(values: Iterable[Value], config: ContextConfig) -> list[list[Word]]:
    """The words of the images that are appended, image by image in reading order, and line by line."""
    words = (
        (number, word)
        for number, value in enumerate(values)
        if isinstance(value, OcrValue)
        for run in _find_runs(value.words, config)
        for word in run
        if is_trusted(word, config, run)
    )
    lines = itertools.groupby(itertools.islice(words, config.words), lambda pair: (pair[0], pair[1].line))
    return [[word for _, word in line] for _, line in lines]


def _find_runs(words: Sequence[Word], config: ContextConfig) -> list[list[Word]]:
    """Words that belong together: each alone, or in a language without spaces all of a line that have no gap.

    RapidOCR reads every letter of a Chinese line as a word, even those of `iPhone` and the digits of 5999.
    """
    runs: list[list[Word]] = []
    for word in words:
        if runs and _is_unspaced(config) and _is_beside(runs[-1][-1], word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _is_beside(word: Word, other: Word) -> bool:
    height = min(word.box[3] - word.box[1], other.box[3] - other.box[1])
    return (
        word.line == other.line
        and other.box[2] - word.box[2] >= 0
        and other.box[0] - word.box[2] < MAX_GAP * height
    )


def _take_turns(lists: Iterable[Sequence[T]]) -> Iterator[T]:
    """The first of each list, then the second of each, and so on."""
    for rank in itertools.zip_longest(*lists):
        yield from (item for item in rank if item is not None)


def is_trusted(word: Word, config: ContextConfig, run: Sequence[Word] = ()) -> bool:
    """Whether the OCR read a word with enough confidence, and the word or its run has enough letters or digits.

    In a language that is written without spaces, one letter of its script is enough.
    """
    characters = sum(character.isalnum() for part in run or [word] for character in part.text)
    enough = characters >= config.word_characters or (_is_unspaced(config) and has_unspaced(word.text))
    return enough and word.confidence >= config.word_confidence


def _is_unspaced(config: ContextConfig) -> bool:
    words = load_words(config.language)
    return words is not None and words.unspaced


def _join_tags(texts: Iterable[str], config: ContextConfig) -> str:
    words = load_words(config.language)
    return (words.tag_separator if words else ", ").join(texts)


def _join_words(texts: Iterable[str], config: ContextConfig) -> str:
    return join_words(tuple(texts), unspaced=_is_unspaced(config))[0]


def _group_extra(values: Iterable[Value], config: ContextConfig) -> Groups:
    return [[text] for value in values if isinstance(value, TextValue) for text in value.texts]


def _group_knowledge(values: Iterable[Value], config: ContextConfig) -> Groups:
    """One text, however many texts a file contains, since they share the allocated sub-tokens."""
    texts: list[str] = []
    for value in values:
        texts += value.texts if isinstance(value, TextValue) else ()
        texts += [value.text] if isinstance(value, KnowledgeValue) else ()
    return [[" ".join(texts)]]


def _group_words(values: Iterable[Value], config: ContextConfig) -> Groups:
    lines = (_find_runs(line, config) for line in select_lines(values, config))
    return [["".join(word.text for word in run) for run in line] for line in lines]


# The texts of each context's pieces, in groups.
GROUPS: dict[str, Callable[[Iterable[Value], ContextConfig], Groups]] = {
    "objects": lambda values, config: [[tag] for tag in select_objects(values, config)],
    "caption": lambda values, config: [[text] for text in select_captions(values, config)],
    "ocr": _group_words,
    "extra": _group_extra,
    "knowledge": _group_knowledge,
}

# The pieces of these contexts are joined to one text.
JOINERS: dict[str, Callable[[Iterable[str], ContextConfig], str]] = {"objects": _join_tags, "ocr": _join_words}


def unique(texts: Iterable[str]) -> list[str]:
    """The distinct texts, in order."""
    return list(dict.fromkeys(texts))
