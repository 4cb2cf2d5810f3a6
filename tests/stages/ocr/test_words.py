"""What becomes of two readings of one place, and the order of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.ocr.schema import Word
from stages.ocr.words import UNCONFIRMED, drop_overlapping, merge_readings, sort_for_reading


def word(text: str, confidence: float = 0.9, x: int = 0, y: int = 0, width: int = 40, line: int = 0) -> Word:
    return Word(text=text, confidence=confidence, box=(x, y, x + width, y + 20), line=line)


words = st.builds(
    word,
    st.sampled_from(["MARLOW", "Marlow", "FC", "!", "12"]),
    st.floats(0, 1),
    st.integers(0, 200),
    st.integers(0, 60),
    st.integers(1, 80),
    st.integers(0, 4),
)


def test_a_word_in_both_readings_is_more_confident():
    (both,) = merge_readings([word("Marlow", 0.6)], [word("MARLOW.", 0.5, x=3)])
    assert both.text == "Marlow"
    assert both.confidence == pytest.approx(0.8)


def test_a_word_in_one_reading_is_less_confident():
    found = merge_readings([word("MARLOW", 0.5, x=100)], [word("the", 1.0)])
    assert [(each.text, each.confidence) for each in found] == [
        ("the", UNCONFIRMED),
        ("MARLOW", 0.5 * UNCONFIRMED),
    ]


def test_the_same_word_in_another_place_is_not_merged():
    assert len(merge_readings([word("the", x=0)], [word("the", x=200)])) == 2
    assert len(merge_readings([word("the"), word("the", x=100)], [word("the", x=100), word("the")])) == 2


def test_right_to_left_lines_keep_their_order():
    found = merge_readings([word("א", x=100), word("ג", x=0)], [word("ב", x=50)])
    assert [each.text for each in found] == ["א", "ב", "ג"]


def test_the_most_confident_of_overlapping_words_is_kept():
    kept = drop_overlapping(
        [word("MAR", 0.7, width=20), word("MARLOW", 0.9), word("FC", 0.4, x=60), word("!", 0.8, y=90)]
    )
    assert [each.text for each in kept] == ["MARLOW", "FC", "!"]


@given(st.lists(words, max_size=8), st.lists(words, max_size=8))
def test_merging_adds_no_words(first: list[Word], second: list[Word]):
    found = merge_readings(first, second)
    assert max(len(first), len(second)) <= len(found) <= len(first) + len(second)
    assert {each.text for each in found} <= {each.text for each in [*first, *second]}
    assert all(0 <= each.confidence <= 1 for each in found)


@given(st.lists(words, max_size=10))
def test_kept_words_do_not_overlap_and_include_the_most_confident(found: list[Word]):
    kept = drop_overlapping(found)
    assert drop_overlapping(kept) == kept
    if found:
        assert max(found, key=lambda each: each.confidence) in kept


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 5)), max_size=12))
def test_sorting_keeps_every_word_and_numbers_lines_from_zero(places: list[tuple[int, int, int]]):
    given_words = [
        Word(text=str(n), confidence=1, box=(x, y, x + 9, y + 9), line=line)
        for n, (x, y, line) in enumerate(places)
    ]
    ordered = sort_for_reading(given_words)
    assert sorted(each.text for each in ordered) == sorted(each.text for each in given_words)
    lines = [each.line for each in ordered]
    assert lines == sorted(lines)
    assert set(lines) == set(range(len(set(lines))))
