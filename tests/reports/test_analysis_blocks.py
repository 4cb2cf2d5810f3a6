"""Tests of the errors block: kinds, confusion, novelty and calibration, as numbers and as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.reports.blocks import Block, RunData
from ita_pipeline.reports.error_blocks import make_errors_block
from ita_pipeline.reports.run_section import make_run_section
from tests.support.report_site import build_site


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
