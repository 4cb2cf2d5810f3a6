"""Tests of the blocks about errors: kinds, confusion, novelty and calibration, and the surest errors with links."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.corpus.posts import Post
from ita_pipeline.reports.blocks import Block, RunData
from ita_pipeline.reports.error_blocks import MAX_ERRORS, make_errors_block, make_worst_errors_block
from ita_pipeline.reports.posts import GOLD, IT, ReportMention, ReportPost
from ita_pipeline.reports.run_section import make_run_section
from ita_pipeline.runs.run import Run
from tests.support.report_site import build_site, record_of


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Block:
    run = build_site(tmp_path_factory.mktemp("errors"))
    block = make_errors_block(RunData.read(run))
    assert block is not None
    return block


def rows(block: Block, number: int) -> dict[str, tuple[str, ...]]:
    table = block.tables[number]
    assert all(len(row.cells) == len(table.header) for row in table.rows)
    return {row.cells[0]: row.cells[1:] for row in table.rows}


def test_each_kind_of_error_is_counted_in_both_views(block: Block):
    kinds = rows(block, 0)
    assert kinds["right"] == ("57", "58")
    assert kinds["right words, wrong type"] == ("3", "2")
    assert kinds["missed"] == kinds["spurious: no mention there"] == ("0", "0")


def test_seen_and_unseen_mentions_are_scored_separately(block: Block):
    parts = rows(block, 1)
    assert parts["seen in train"] == ("0.00", "100.00", "1")
    assert parts["unseen"][-1] == "59"
    assert "1 word" in parts


def test_confusion_has_gold_in_rows_and_no_mention_last(block: Block):
    assert block.tables[2].header == ("gold", "LOC", "PER", "no mention")
    assert rows(block, 2)["PER"] == ("3", "57", "0")
    assert rows(block, 3)["PER"] == ("2", "58", "0")
    assert rows(block, 3)["no mention"] == ("0", "0", "–")


def test_calibration_is_described_in_the_alternative_text(block: Block):
    (figure,) = block.figures
    assert "60 mentions of probability 90 %: 95 % right" in figure.alt
    assert "T, ECE 5.0 %" in figure.alt


def test_a_run_without_an_analysis_has_no_such_block(tmp_path: Path):
    run = build_site(tmp_path, posts=15)
    assert "errors" in [block.id for block in make_run_section(run, "").blocks]
    (run.folder / "analysis.json").unlink()
    assert "errors" not in [block.id for block in make_run_section(run, "").blocks]


def worst_block(posts: list[ReportPost]) -> Block | None:
    return make_worst_errors_block(RunData(Run(Path("run")), record_of(Path("mine")), {}, [], posts))


def make_post(
    number: int, gold: list[ReportMention], predicted: list[ReportMention], text: str = "hi kim of Marlow"
) -> ReportPost:
    return ReportPost(
        Post.from_text(text, id=f"post {number}"), "test", number, {GOLD: tuple(gold), IT: tuple(predicted)}
    )


def mention(start: int, end: int, kind: str, score: float | None = None) -> ReportMention:
    return ReportMention(start=start, end=end, type=kind, score=score)


def test_the_most_probable_errors_of_each_kind_come_first_with_a_link():
    posts = [
        make_post(1, [mention(1, 2, "PER")], [mention(1, 2, "LOC", 0.6)]),
        make_post(2, [mention(1, 2, "PER")], [mention(1, 2, "LOC", 0.9)]),
        make_post(3, [mention(1, 4, "PER")], [mention(1, 2, "PER", 0.7)]),
        make_post(4, [], [mention(0, 1, "ORG", 0.8)]),
        make_post(5, [mention(1, 2, "PER"), mention(3, 4, "LOC")], [mention(1, 2, "PER", 0.5)]),
        make_post(6, [mention(1, 2, "PER")], [mention(1, 2, "PER", 1.0)]),
    ]
    block = worst_block(posts)
    assert block is not None
    rows = {table.caption: [(row.link, *row.cells) for row in table.rows] for table in block.tables}
    assert rows == {
        "Right words, wrong type": [
            ("post=test-2", "post 2", "kim PER", "kim LOC", "90 %"),
            ("post=test-1", "post 1", "kim PER", "kim LOC", "60 %"),
        ],
        "Right type, wrong words": [("post=test-3", "post 3", "kim of Marlow PER", "kim PER", "70 %")],
        "Missed": [("post=test-5", "post 5", "Marlow LOC", "no mention", "")],
        "Spurious: no mention there": [("post=test-4", "post 4", "no mention", "hi ORG", "80 %")],
    }


def test_few_errors_are_shown_and_no_block_without_errors():
    many = [make_post(n, [], [mention(0, 1, "ORG", n / 100)]) for n in range(1, 20)]
    block = worst_block(many)
    assert block is not None
    assert [row.cells[0] for row in block.tables[0].rows] == [f"post {n}" for n in range(19, 19 - MAX_ERRORS, -1)]
    assert worst_block([make_post(1, [mention(1, 2, "PER")], [mention(1, 2, "PER")])]) is None
    assert worst_block([ReportPost(Post.from_text("hi"), "test", 1, {})]) is None


def test_a_long_mention_is_cut():
    predicted = [mention(0, 40, "ORG", 0.5)]
    block = worst_block([make_post(1, [], predicted, " ".join(["word"] * 40))])
    assert block is not None
    assert len(block.tables[0].rows[0].cells[2]) == 60 + len("… ORG")
