"""What the stages found in the first picture of a post, as the grounder reads it."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import hypot
from typing import Any

from ita_pipeline.corpus.posts import Box, Post, Span
from stages.base import Failure, Value
from stages.caption.schema import CaptionValue
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue, Word

# Fewer letters resemble a name too easily.
MIN_LETTERS = 3

# Words that the OCR is less sure of are noise more often than names.
MIN_CONFIDENCE = 0.3

TEXT = "text"

# Names of types, in any capitals, whose mentions are people: of the datasets here, and the fine ones of FMNERG.
PERSON_TYPES = frozenset({
    "per", "person", "actor", "artist", "athlete", "author", "businessman", "character", "coach", "director",
    "intellectual", "journalist", "musician", "person_other", "politician",
})  # fmt: skip

# Labels of COCO, Objects365 and common vocabularies.
PERSON_LABELS = frozenset({"person", "man", "woman", "boy", "girl", "child", "human face", "face", "people"})


def is_person(type_name: str) -> bool:
    """Whether the mentions of a type are people."""
    return type_name.casefold() in PERSON_TYPES


@dataclass(frozen=True, slots=True)
class Candidate:
    """A box that may show a mention: a detected object, or words that were read; `words` are those in it.

    With `is_query`, a detector was asked for the label: the words or the type of a mention.
    """

    box: Box
    label: str
    score: float
    words: tuple[str, ...] = ()
    is_query: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the box is one of words."""
        return self.label == TEXT

    @property
    def is_person(self) -> bool:
        """Whether the box is one of a person."""
        return self.label.casefold() in PERSON_LABELS


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a picture: width and height in pixels if a stage measured them, objects, words, captions.

    `shares` has names and boxes of objects with the probability that of all objects, the name describes this one.
    """

    size: tuple[float, float] | None = None
    objects: tuple[Candidate, ...] = ()
    words: tuple[Word, ...] = ()
    captions: tuple[str, ...] = ()
    shares: tuple[tuple[tuple[str, ...], Box, float], ...] = ()

    @classmethod
    def from_results(cls, results: Mapping[str, Value | Failure]) -> Evidence:
        """Collect the results of stages, by their names."""
        objects, words, captions = (results.get(name) for name in ("objects", "ocr", "caption"))
        sizes = [(found.width, found.height) for found in (objects, words) if isinstance(found, _MEASURED)]
        read = words.words if isinstance(words, OcrValue) else ()
        certain = tuple(word for word in read if word.confidence >= MIN_CONFIDENCE and word.text.strip())
        detected = objects.objects if isinstance(objects, ObjectsValue) else ()
        return cls(
            sizes[0] if sizes else None,
            tuple(
                Candidate(item.box, item.label, item.score, _words_inside(item.box, certain)) for item in detected
            ),
            certain,
            tuple(one.text for one in captions.captions) if isinstance(captions, CaptionValue) else (),
        )

    def add(self, asked: Iterable[Candidate]) -> Evidence:
        """The evidence with boxes that a detector was asked for, and the words in them."""
        more = (replace(one, words=_words_inside(one.box, self.words)) for one in asked)
        return replace(self, objects=(*self.objects, *more))

    def lines(self) -> list[list[Word]]:
        """The words of each line that was read."""
        return [list(words) for _, words in itertools.groupby(self.words, key=lambda word: word.line)]

    def to_json(self) -> list[Any]:
        """Everything that a training reads, for its key."""
        words = [[word.text, word.confidence, word.box, word.line] for word in self.words]
        return [self.size, [[one.label, one.score, one.box] for one in self.objects], words, self.captions]


# Of a post without a picture, or one that no stage has read.
NOTHING = Evidence()

_MEASURED = (ObjectsValue, OcrValue)


def _words_inside(box: Box, words: Iterable[Word]) -> tuple[str, ...]:
    """The words whose centers are in the box."""
    x0, y0, x1, y1 = box
    centers = ((word, (word.box[0] + word.box[2]) / 2, (word.box[1] + word.box[3]) / 2) for word in words)
    return tuple(word.text for word, x, y in centers if x0 <= x <= x1 and y0 <= y <= y1)


def propose(evidence: Evidence, name: Sequence[str]) -> list[Candidate]:
    """The boxes that may show a mention of this name: objects, lines, and within a line the words like the name."""
    candidates = list(evidence.objects)
    for line in evidence.lines():
        candidates.append(_join(line))
        alike = [position for position, word in enumerate(line) if resemblance(name, [word.text]) > 0]
        if alike and (part := line[alike[0] : alike[-1] + 1]) != line:
            candidates.append(_join(part))
    return candidates


def find_beside(name: Sequence[str], alike: Sequence[Candidate], evidence: Evidence) -> list[Candidate]:
    """Of several objects of a label, those that the words like the name are in or nearest to; none without any."""
    if len(alike) < 2 or alike[0].is_text:
        return []
    named = (word.box for word in evidence.words if resemblance(name, [word.text]) > 0)
    return [min(alike, key=lambda one: _distance(one.box, box)) for box in named]


def _distance(box: Box, word: tuple[float, ...]) -> tuple[float, float]:
    """The distance of the middle of a word from a box, and from the box's middle, which decides between boxes."""
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    aside, above = max(box[0] - x, 0, x - box[2]), max(box[1] - y, 0, y - box[3])
    return hypot(aside, above), abs(x - (box[0] + box[2]) / 2)


def _join(words: Sequence[Word]) -> Candidate:
    boxes = [word.box for word in words]
    box = (
        float(min(box[0] for box in boxes)),
        float(min(box[1] for box in boxes)),
        float(max(box[2] for box in boxes)),
        float(max(box[3] for box in boxes)),
    )
    confidence = sum(word.confidence for word in words) / len(words)
    return Candidate(box, TEXT, confidence, tuple(word.text for word in words))


@functools.lru_cache(1 << 16)
def fold(word: str) -> str:
    """The letters and digits of a word without capitals and variants of Unicode, by which names are compared."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", word).casefold()))


def name_of(post: Post, span: Span) -> tuple[str, ...]:
    """The words of a mention, folded, without those of punctuation alone."""
    return fold_words(post.words[span.start : span.end])


def fold_words(words: Iterable[str]) -> tuple[str, ...]:
    """Words folded, without those of punctuation alone."""
    return tuple(filter(None, map(fold, words)))


def resemblance(name: Sequence[str], words: Iterable[str]) -> float:
    """How well words that were read contain a name, in 0..1: the share of its letters whose word is among them.

    A word with a few misread letters counts by its likeness, if that is at least 3/4.
    """
    seen = list(filter(None, map(fold, words)))
    if not seen or not name:
        return 0.0
    joined = "".join(name)
    if len(joined) >= MIN_LETTERS and joined in seen:
        return 1.0
    likenesses = [(len(word), max(_likeness(word, other) for other in seen)) for word in name]
    return sum(length * likeness for length, likeness in likenesses) / len(joined)


@functools.lru_cache(1 << 16)
def _likeness(word: str, other: str) -> float:
    if min(len(word), len(other)) < MIN_LETTERS:
        return float(word == other and len(word) > 1)
    if abs(len(word) - len(other)) > max(len(word), len(other)) / 4:
        return 0.0
    matcher = SequenceMatcher(None, word, other, autojunk=False)
    # The quick ratio is never below the other one.
    ratio = matcher.ratio() if matcher.quick_ratio() >= 0.75 else 0.0
    return ratio if ratio >= 0.75 else 0.0
