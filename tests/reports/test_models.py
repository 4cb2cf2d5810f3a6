"""Tests of the models: splitting a text at its words, and verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Post
from ita_pipeline.reports.gallery import split_at_words
from ita_pipeline.reports.posts import GOLD, IT, ReportMention, T, judge_answers

RIGHT, WRONG = (ReportMention(start=1, end=2, type=name) for name in ("PER", "LOC"))


@given(st.text())
def test_parts_are_the_text_split_at_its_words(text: str):
    post = Post.from_text(text)
    parts = split_at_words(post)
    assert "".join(parts) == post.text
    assert parts[1::2] == post.words


@pytest.mark.parametrize(
    ("text", "both", "tags"),
    [
        ([WRONG], [RIGHT], ("right", "changed", "helped")),
        ([RIGHT], [WRONG], ("wrong", "changed", "harmed")),
        ([], [WRONG], ("wrong", "changed")),
        ([WRONG], [WRONG], ("wrong",)),
        ([RIGHT], [RIGHT], ("right",)),
    ],
)
def test_a_verdict_compares_both_views_with_gold(
    text: list[ReportMention], both: list[ReportMention], tags: tuple[str, ...]
):
    assert judge_answers({GOLD: [RIGHT], T: text, IT: both})[0] == tags


def test_posts_without_predictions_have_no_verdict():
    assert judge_answers({GOLD: [RIGHT]}) == ((), 0)
