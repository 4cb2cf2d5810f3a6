"""The tag scheme: mentions to tags and back."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.tags import TagScheme

SCHEME = TagScheme(("LOC", "PER"))


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, list[Span]]:
    length = draw(st.integers(0, 12))
    edges = sorted(draw(st.sets(st.integers(0, length), max_size=8)))
    pairs = list(itertools.pairwise(edges))
    kept = [pair for pair in pairs if draw(st.booleans())]
    return length, [Span(start, end, draw(st.sampled_from(SCHEME.types))) for start, end in kept]


@given(spans())
def test_mentions_survive_tags(found: tuple[int, list[Span]]):
    length, wanted = found
    tags = SCHEME.encode(wanted, length)
    assert SCHEME.decode(tags) == wanted
    allowed = SCHEME.may_follow()
    assert all(allowed[before][after] for before, after in itertools.pairwise(tags))
    if tags:
        assert SCHEME.may_start()[tags[0]]
        assert SCHEME.may_end()[tags[-1]]


@given(st.lists(st.integers(0, 8), max_size=10))
def test_any_tags_give_mentions_that_do_not_overlap(tags: list[int]):
    found = SCHEME.decode(tags)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    assert all(0 <= span.start < span.end <= len(tags) for span in found)


def test_labels_are_iobes():
    assert SCHEME.labels == ("O", "S-LOC", "B-LOC", "I-LOC", "E-LOC", "S-PER", "B-PER", "I-PER", "E-PER")
    assert SCHEME.encode([Span(0, 1, "PER"), Span(1, 4, "LOC")], 5) == [5, 2, 3, 4, 0]


def test_a_type_outside_the_scheme_is_refused():
    with pytest.raises(ValueError, match="ORG"):
        SCHEME.encode([Span(0, 1, "ORG")], 1)


def test_of_overlapping_mentions_the_longest_is_tagged_and_partial_ones_are_not():
    gold = [Span(0, 2, "LOC"), Span(0, 3, "ORG"), Span(4, 5, "LOC", partial=True)]
    scheme = TagScheme(("LOC", "ORG"))
    assert scheme.decode(scheme.encode(gold, 5)) == [Span(0, 3, "ORG")]
