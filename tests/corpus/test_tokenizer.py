"""Words of raw tweets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.tokenizer import tokenize


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in tokenize(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RT @mia_k: #NoFilter :-) can't wait!", "RT|@mia_k|:|#NoFilter|:-)|can't|wait|!"),
        ("(see http://t.co/a?b=1&amp;c=2, www.x.org/a_b).", "(|see|http://t.co/a?b=1&amp;c=2|,|www.x.org/a_b|)|."),
        ("Amazon.com bit.ly/x1 me@x.com end.Start", "Amazon.com|bit.ly/x1|me@x.com|end|.|Start"),
        ("Ashby's Ashby’s IT'S don't players'", "Ashby|'s|Ashby|’s|IT|'S|don't|players|'"),
        ("NY-LA Jean-Luc X-Men Ex-IMF #Que-risa @a-b", "NY|-|LA|Jean-Luc|X-Men|Ex-IMF|#Que-risa|@a|-|b"),
        ("Paris.It St.Louis U.S. U.S.'s p.m. D.C.-based", "Paris|.|It|St|.|Louis|U.S.|U.S.|'s|p.m.|D.C.|-|based"),
        (
            "3.5 10:30 $3.50 1,000.00 9/11 18-year-old 3rd $AAPL",
            "3.5|10:30|$|3.50|1,000.00|9/11|18-year-old|3rd|$AAPL",
        ),
        ("wow... so--much -> <3", "wow|...|so|--|much|->|<3"),
        ("Tom &amp; Jerry AT&amp;T &#39;x&#39; &x;", "Tom|&amp;|Jerry|AT|&amp;|T|&#39;|x|&#39;|&|x|;"),
    ],
)
def test_words_of_english_tweets(text: str, expected: str):
    assert words(text) == expected.split("|")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("王俊凯现身NY北京", "王|俊|凯|现|身|NY|北|京"),
        ("#王俊凯# http://t.co/a王", "#|王|俊|凯|#|http://t.co/a|王"),
        ("東京タワー、すごい", "東|京|タ|ワ|ー|、|す|ご|い"),
        ("สวัสดี ABC", "ส|วั|ส|ดี|ABC"),
        ("삼성전자는 서울에서", "삼성전자는|서울에서"),
        ("नमस्ते café naïve", "नमस्ते|café|naïve"),
    ],
)
def test_every_letter_of_a_script_without_spaces_is_a_word(text: str, expected: str):
    assert words(text) == expected.split("|")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("🏳️‍🌈 in London!", ["🏳️‍🌈", "in", "London", "!"]),
        (
            "Sun ☀️ and \u2764\ufe0f\u2764\ufe0f, 1\ufe0f\u20e3 👍🏽!",
            ["Sun", "☀️", "and", "❤️", "❤️", ",", "1️⃣", "👍🏽", "!"],
        ),
        ("Ada 👩🏽‍❤️‍💋‍👨🏿❤️‍🔥", ["Ada", "👩🏽‍❤️‍💋‍👨🏿", "❤️‍🔥"]),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ 🇺🇸🇬🇧", ["🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "🇺🇸", "🇬🇧"]),
    ],
)
def test_an_emoji_is_one_word(text: str, expected: list[str]):
    assert words(text) == expected


@given(st.text() | st.text(st.sampled_from("aB &amp;#39.:-'s@/\x1c\u200d\ufe0f🏳🌈👩🏽王ー")))
def test_spans_are_in_order_and_cover_everything_but_white_space(text: str):
    spans = tokenize(text)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert all(text[start:end].strip() for start, end in spans)
