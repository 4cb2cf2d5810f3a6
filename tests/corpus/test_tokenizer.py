"""Words of raw tweets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.tokenizer import tokenize


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tokenize(text)]


def test_handles_links_and_emoticons_are_one_word():
    found = words("RT @mia_k: #NoFilter at http://t.co/x1 :-) can't wait 👩‍🚀!")
    assert {"@mia_k", "#NoFilter", "http://t.co/x1", ":-)", "can't"} <= set(found)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("🏳️‍🌈 in London!", ["🏳️‍🌈", "in", "London", "!"]),
        (
            "Sun ☀️ and \u2764\ufe0f\u2764\ufe0f, 1\ufe0f\u20e3 👍🏽!",
            ["Sun", "☀️", "and", "❤️", "❤️", ",", "1️⃣", "👍🏽", "!"],
        ),
        ("Ada 👩🏽‍❤️‍💋‍👨🏿❤️‍🔥", ["Ada", "👩🏽‍❤️‍💋‍👨🏿", "❤️‍🔥"]),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ 🇺🇸🇬🇧", ["🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🇺🇸", "🇬🇧"]),
        ("Tom &amp; Jerry &lt;3 &#39;x&#39;", ["Tom", "&amp;", "Jerry", "&lt;", "3", "&#39;", "x", "&#39;"]),
        ("AT&amp;T &x; & amp;", ["AT", "&amp;", "T", "&", "x", ";", "&", "amp", ";"]),
        ("http://t.co/a?b=1&amp;c=2 @a_b", ["http://t.co/a?b=1&amp;c=2", "@a_b"]),
    ],
)
def test_an_emoji_of_several_characters_and_an_entity_of_html_are_one_word(text: str, wanted: list[str]):
    assert words(text) == wanted


@given(st.text() | st.text(st.sampled_from("a &amp;#39\u200d\ufe0f🏳🌈👩🏽")))
def test_spans_are_in_order_and_cover_everything_but_white_space(text: str):
    spans = tokenize(text)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert all(text[start:end].strip() for start, end in spans)
