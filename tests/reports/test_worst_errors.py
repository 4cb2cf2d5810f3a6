"""The surest errors of each kind, and the links that lead to them."""

from __future__ import annotations

from ita_pipeline.corpus.posts import Post
from ita_pipeline.reports.gallery import Shown
from ita_pipeline.reports.models import GOLD, IT, Marked
from ita_pipeline.reports.worst_errors import MOST, worst_block


def shown(number: int, gold: list[Marked], said: list[Marked], text: str = "hi kim of Marlow") -> Shown:
    return Shown(Post.from_text(text, id=f"post {number}"), "test", number, {GOLD: tuple(gold), IT: tuple(said)})


def mention(start: int, end: int, kind: str, score: float | None = None) -> Marked:
    return Marked(start=start, end=end, type=kind, score=score)


def test_the_most_probable_ones_of_each_kind_come_first_with_a_link():
    posts = [
        shown(1, [mention(1, 2, "PER")], [mention(1, 2, "LOC", 0.6)]),
        shown(2, [mention(1, 2, "PER")], [mention(1, 2, "LOC", 0.9)]),
        shown(3, [mention(1, 4, "PER")], [mention(1, 2, "PER", 0.7)]),
        shown(4, [], [mention(0, 1, "ORG", 0.8)]),
        shown(5, [mention(1, 2, "PER"), mention(3, 4, "LOC")], [mention(1, 2, "PER", 0.5)]),
        shown(6, [mention(1, 2, "PER")], [mention(1, 2, "PER", 1.0)]),
    ]
    block = worst_block(posts)
    assert block is not None
    found = {table.caption: [(row.link, *row.cells) for row in table.rows] for table in block.tables}
    assert found == {
        "Right words, wrong type": [
            ("post=test-2", "post 2", "kim PER", "kim LOC", "90 %"),
            ("post=test-1", "post 1", "kim PER", "kim LOC", "60 %"),
        ],
        "Right type, wrong words": [("post=test-3", "post 3", "kim of Marlow PER", "kim PER", "70 %")],
        "Missed": [("post=test-5", "post 5", "Marlow LOC", "no mention", "")],
        "Spurious: no mention there": [("post=test-4", "post 4", "no mention", "hi ORG", "80 %")],
    }


def test_no_more_than_a_few_and_none_where_all_is_right():
    many = [shown(n, [], [mention(0, 1, "ORG", n / 100)]) for n in range(1, 20)]
    block = worst_block(many)
    assert block is not None
    assert [row.cells[0] for row in block.tables[0].rows] == [f"post {n}" for n in range(19, 19 - MOST, -1)]
    assert worst_block([shown(1, [mention(1, 2, "PER")], [mention(1, 2, "PER")])]) is None
    assert worst_block([Shown(Post.from_text("hi"), "test", 1, {})]) is None


def test_a_long_mention_is_cut():
    said = [mention(0, 40, "ORG", 0.5)]
    block = worst_block([shown(1, [], said, " ".join(["word"] * 40))])
    assert block is not None
    assert len(block.tables[0].rows[0].cells[2]) == 60 + len("… ORG")
