"""Word shapes: what capitals say, for encoders that do not see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.ner.word_shapes import WordShape, classify_word, is_uncased
from tests.support.tiny_encoder import build_bert, load


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (WordShape.LOWER, "ada so-so d'accord 'tis stra\u00dfe"),
        (WordShape.TITLE, "Ada Jean-luc \u00c9mile \u00abAda \u01c5ep"),
        (WordShape.UPPER, "UK ADA's".replace("'s", "") + " U.S.A."),
        (WordShape.INITIAL, "A J."),
        (WordShape.MIXED, "iPhone McDonald O'Neil eBAY"),
        (WordShape.CASELESS, "\u6771\u4eac \u05e9\u05dc\u05d5\u05dd"),
        (WordShape.NUMBER, "7 3.14 1-0 \u0663"),
        (WordShape.LOWER_DIGITS, "2nd r2d2"),
        (WordShape.UPPER_DIGITS, "F1 Euro2016"),
        (WordShape.HASHTAG, "#ner #2016"),
        (WordShape.HASHTAG_CAPITALS, "#NER #WorldCup"),
        (WordShape.USER, "@ada_1"),
        (WordShape.USER_CAPITALS, "@Ada"),
        (WordShape.LINK, "https://t.co/Ab HTTP://x www.x.org"),
        (WordShape.SIGNS, "# @ ... \U0001f600 :)"),
    ],
)
def test_a_shape_describes_how_a_word_is_written(shape: WordShape, words: str):
    assert {word: classify_word(word) for word in words.split()} == dict.fromkeys(words.split(), shape)


@given(st.text(max_size=20))
def test_every_text_has_a_shape_of_a_word(word: str):
    assert classify_word(word) is not WordShape.NONE


def test_a_tokenizer_that_drops_capitals_is_recognized(tmp_path: Path):
    _, tokenizer = load(build_bert(tmp_path))
    assert is_uncased(tokenizer)
    tokenizer.backend_tokenizer.normalizer = None
    assert not is_uncased(tokenizer)
