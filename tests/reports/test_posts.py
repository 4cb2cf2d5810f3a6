"""Tests of posts with mentions: verdicts on two answers."""

from __future__ import annotations

import pytest

from ita_pipeline.reports.posts import GOLD, IT, ReportMention, T, judge_answers

RIGHT, WRONG = (ReportMention(start=1, end=2, type=name) for name in ("PER", "LOC"))


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
