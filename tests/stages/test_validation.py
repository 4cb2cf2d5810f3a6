"""Sentences about invalid data, and values that are wrong only by rounding."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stages.validation import Frozen, Label, Score, describe_invalid, replace_surrogates


class Tag(Frozen):
    label: Label
    score: Score = 0.5


class Tags(Frozen):
    tags: tuple[Tag, ...]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "tags is missing"),
        ({"tags": [{"label": 5}]}, "tags[0].label must be a string, not 5"),
        ({"tags": [{"label": "a", "scores": 1}]}, "tags[0].scores is not a known field"),
        ({"tags": [{"label": " "}]}, "tags[0].label: a label must not be blank"),
        ({"tags": ["a"]}, "tags[0] is not an object of names and values"),
    ],
)
def test_the_first_problem_is_described_with_its_place(content: Any, says: str):
    with pytest.raises(ValidationError) as caught:
        Tags.model_validate(content)
    assert describe_invalid(caught.value) == says


def test_a_score_beyond_one_by_rounding_is_one_and_others_are_refused():
    assert Tag(label="a", score=1.0000001).score == 1.0
    with pytest.raises(ValidationError):
        Tag(label="a", score=1.1)


def test_half_of_a_character_is_replaced():
    assert replace_surrogates("a\ud83d!") == "a\ufffd!"
    assert Tag(label="\ud83d").label == "\ufffd"
