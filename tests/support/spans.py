"""Sentences with gold and predicted tags, for properties of scores."""

from __future__ import annotations

from hypothesis import strategies as st

from ita_pipeline.corpus.formats.schemes import decode_tags
from ita_pipeline.corpus.posts import Span

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=8), min_size=1, max_size=4)


def sentence(tags: list[tuple[str, str]]) -> tuple[list[Span], list[Span]]:
    """Gold and predicted mentions of a sentence of (gold, predicted) tags."""
    gold, predicted = (list(decode_tags([pair[side] for pair in tags], {})) for side in (0, 1))
    return gold, predicted
