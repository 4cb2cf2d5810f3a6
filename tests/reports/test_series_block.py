"""Tests of the series block: the runs that belong to a series, and their means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.reports.blocks import RunData
from ita_pipeline.reports.series_block import are_related, make_series_block, rank_contexts
from ita_pipeline.runs.run import Run
from tests.support.report_site import CONTEXTS, build_site, record_of, write_other_run

SEED = TrainingConfig(seed=2)


def test_a_run_alone_has_no_series(tmp_path: Path):
    run = build_site(tmp_path, posts=15)
    assert make_series_block(RunData.read(run)) is None


def test_seeds_get_a_mean_and_whiskers(tmp_path: Path):
    run = build_site(tmp_path)
    write_other_run(tmp_path, training=SEED)
    block = make_series_block(RunData.read(run))
    assert block is not None
    means, runs = block.tables
    (row,) = means.rows
    assert row.cells == ("all", "2", "94.56 ± 0.62", "97.49 ± 1.16")
    assert row.strong
    assert [(row.cells[:3], row.note) for row in runs.rows] == [
        (("0123456789abcdef", "all", "1"), "this run"),
        (("f" * 16, "all", "2"), ""),
    ]
    assert "all, 2 seeds: T 94.56 ± 0.62, I+T 97.49 ± 1.16" in block.figures[0].alt


def test_an_ablation_has_a_row_for_each_of_its_contexts(tmp_path: Path):
    run = build_site(tmp_path)
    write_other_run(tmp_path, contexts=CONTEXTS.model_copy(update={"order": ()}), stage_keys={})
    (tmp_path / "runs/mine/broken").mkdir()
    (tmp_path / "runs/mine/broken/scores.json").write_text("{}")
    block = make_series_block(RunData.read(run))
    assert block is not None
    assert [(row.cells[0], row.note) for row in block.tables[0].rows] == [("text", ""), ("all", "this run")]
    assert "±" not in block.tables[0].rows[0].cells[2]


@pytest.mark.parametrize(
    ("changes", "related"),
    [
        ({"training": SEED}, True),
        ({"command": "another", "best_epoch": 1}, True),
        ({"training": TrainingConfig(epochs=3)}, False),
        ({"encoder_identity": "sha256:d"}, False),
        ({"stage_keys": {"ocr": "e" * 64}}, False),
        ({"captions": "other.tsv"}, False),
        ({"captions": "other.tsv", "contexts": CONTEXTS.model_copy(update={"order": ("ocr",)})}, True),
        ({"contexts": CONTEXTS.model_copy(update={"words": 3})}, False),
        ({"components": {"sentences": {"test": "f" * 64}}}, False),
    ],
)
def test_only_seed_and_contexts_of_related_runs_differ(changes: dict[str, Any], related: bool):
    record = record_of(Path("mine"))
    assert are_related(record, record.model_copy(update=changes)) is related


def test_contexts_are_sorted_from_none_to_all():
    assert sorted(["all", "caption+ocr", "ocr", "text", "caption"], key=rank_contexts) == [
        "text",
        "caption",
        "ocr",
        "caption+ocr",
        "all",
    ]


def test_an_exported_model_has_no_series(tmp_path: Path):
    data = RunData(Run(tmp_path / "nowhere" / "x"), record_of(Path("mine")), {}, [])
    assert make_series_block(data) is None


def test_a_run_with_a_language_model_is_not_another_seed_of_a_run_without(tmp_path: Path):
    run = build_site(tmp_path)
    keys = {**run.record().stage_keys, "knowledge": "k" * 64}
    write_other_run(tmp_path, training=SEED, stage_keys=keys)
    block = make_series_block(RunData.read(run))
    assert block is not None
    assert [row.cells[:2] for row in block.tables[0].rows] == [
        ("all", "1"),
        ("objects+caption+ocr+extra+knowledge", "1"),
    ]


def test_a_run_older_than_the_knowledge_stage_is_another_seed(tmp_path: Path):
    run = build_site(tmp_path)
    before = CONTEXTS.model_copy(update={"order": ("objects", "caption", "ocr", "extra")})
    write_other_run(tmp_path, training=SEED, contexts=before)
    block = make_series_block(RunData.read(run))
    assert block is not None
    assert [row.cells[:2] for row in block.tables[0].rows] == [("all", "2")]
