"""Findings are grouped by kind, and name their place."""

from __future__ import annotations

import pytest

from ita_pipeline.corpus.findings import Finding, FindingKind, group_by_kind


def test_findings_are_grouped_in_the_order_of_kinds():
    post = Finding(FindingKind.EMPTY_POST, "no word", "train", "1")
    lines = [Finding(FindingKind.BAD_TAG, f"tag {n}", file="posts.txt", line=n) for n in (1, 2)]
    groups = group_by_kind([post, *lines])
    assert list(groups.items()) == [(FindingKind.BAD_TAG, lines), (FindingKind.EMPTY_POST, [post])]


def test_a_finding_names_a_line_a_post_or_a_split():
    places = [
        Finding(FindingKind.BAD_LINE, "no JSON", file="a.jsonl", line=3).where,
        Finding(FindingKind.EMPTY_POST, "no word", "train", "7").where,
        Finding(FindingKind.EMPTY_SPLIT, "no posts", "dev").where,
    ]
    assert places == ["a.jsonl, line 3", "train, post 7", "dev"]


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_has_titles_and_advice(kind: FindingKind):
    assert kind.describe(1).startswith("1 ")
    assert kind.describe(2).startswith("2 ")
    assert kind.describe(1)[2:] != kind.describe(2)[2:]
    assert kind.advice[0].isupper()
