"""What a search left: captions with scores."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias


class Beam(NamedTuple):
    """`score`, in 0..1, is the probability a token, the geometric mean; a search without beams has none."""

    text: str
    score: float | None


Beams: TypeAlias = tuple[Beam, ...]


def beams_of(found: Any, processor: Any, before: int, each: int) -> list[Beams]:
    """What `generate` found, `each` beams a picture, best first.

    Args:
        found: Its answer, with `sequences` (pictures × each, tokens) and, of a beam search, `sequences_scores`.
        processor: Turns tokens into text.
        before: How many tokens of each sequence were there before the search.
        each: Beams a picture.
    """
    texts = processor.batch_decode(found.sequences[:, before:], skip_special_tokens=True)
    scores = getattr(found, "sequences_scores", None)
    known = [None] * len(texts) if scores is None else [round(math.exp(score), 6) for score in scores.tolist()]
    beams = [Beam(one_line(text), score) for text, score in zip(texts, known, strict=True)]
    return [tuple(beams[start : start + each]) for start in range(0, len(beams), each)]


def one_line(text: str) -> str:
    """A model may answer in paragraphs; a caption is a sentence among others."""
    return " ".join(text.split())
