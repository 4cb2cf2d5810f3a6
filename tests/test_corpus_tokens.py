"""Words of raw tweets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.tokens import tokenize


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tokenize(text)]


def test_what_belongs_together_on_twitter_stays_together():
    found = words("RT @mia_k: #NoFilter at http://t.co/x1 :-) can't wait 👩‍🚀!")
    assert {"@mia_k", "#NoFilter", "http://t.co/x1", ":-)", "can't"} <= set(found)


@given(st.text())
def test_spans_are_in_order_and_cover_everything_but_white_space(text: str):
    spans = tokenize(text)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert all(text[start:end].strip() for start, end in spans)
