"""Word shapes: what capitals say, for encoders that do not see them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.ner.word_shapes import Shape, drops_capitals, shape_of
from tests.support.tiny_encoder import build_bert, load


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (Shape.LOWER, "ada so-so d'accord 'tis stra\u00dfe"),
        (Shape.TITLE, "Ada Jean-luc \u00c9mile \u00abAda \u01c5ep"),
        (Shape.UPPER, "UK ADA's".replace("'s", "") + " U.S.A."),
        (Shape.INITIAL, "A J."),
        (Shape.MIXED, "iPhone McDonald O'Neil eBAY"),
        (Shape.CASELESS, "\u6771\u4eac \u05e9\u05dc\u05d5\u05dd"),
        (Shape.NUMBER, "7 3.14 1-0 \u0663"),
        (Shape.LOWER_DIGITS, "2nd r2d2"),
        (Shape.UPPER_DIGITS, "F1 Euro2016"),
        (Shape.HASHTAG, "#ner #2016"),
        (Shape.HASHTAG_CAPITALS, "#NER #WorldCup"),
        (Shape.USER, "@ada_1"),
        (Shape.USER_CAPITALS, "@Ada"),
        (Shape.LINK, "https://t.co/Ab HTTP://x www.x.org"),
        (Shape.SIGNS, "# @ ... \U0001f600 :)"),
    ],
)
def test_a_shape_says_how_a_word_is_written(shape: Shape, words: str):
    assert {word: shape_of(word) for word in words.split()} == dict.fromkeys(words.split(), shape)


@given(st.text(max_size=20))
def test_every_text_has_a_shape_of_a_word(word: str):
    assert shape_of(word) is not Shape.NONE


def test_a_tokenizer_that_drops_capitals_is_told_from_one_that_keeps_them(tmp_path: Path):
    _, tokenizer = load(build_bert(tmp_path))
    assert drops_capitals(tokenizer)
    tokenizer.backend_tokenizer.normalizer = None
    assert not drops_capitals(tokenizer)
