"""Decode the result of a beam search into captions with scores."""

from __future__ import annotations

import math
from typing import Any

from stages.caption.schema import Caption


def decode_beams(output: Any, processor: Any, prompt_length: int, beams: int) -> list[tuple[Caption, ...]]:
    """Return the captions of each image, best first.

    Args:
        output: The output of `generate`, with `sequences` (images × beams, tokens) and, from a beam search,
            `sequences_scores` (images × beams,).
        processor: Decodes tokens to text.
        prompt_length: Number of tokens at the start of each sequence that are not part of the caption.
        beams: Number of sequences per image.
    """
    texts = processor.batch_decode(output.sequences[:, prompt_length:], skip_special_tokens=True)
    log_scores = getattr(output, "sequences_scores", None)
    scores = [None] * len(texts) if log_scores is None else [round(math.exp(s), 6) for s in log_scores.tolist()]
    captions = [Caption(text=join_lines(text), score=score) for text, score in zip(texts, scores, strict=True)]
    return [tuple(captions[start : start + beams]) for start in range(0, len(captions), beams)]


def join_lines(text: str) -> str:
    """Return `text` on one line with single spaces, since a model may answer in paragraphs."""
    return " ".join(text.split())
