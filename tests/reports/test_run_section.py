"""Tests of the section about a run: scores, the kept epoch, and everything that the run depended on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError
from ita_pipeline.reports.blocks import Block, RunSection
from ita_pipeline.reports.run_section import make_run_section
from tests.support.report_site import build_site, key_of


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> RunSection:
    return make_run_section(build_site(tmp_path_factory.mktemp("run")), "about it")


def block(section: RunSection, name: str) -> Block:
    return next(block for block in section.blocks if block.id == name)


def test_both_views_are_scored_in_all_and_by_type(section: RunSection):
    views, types = block(section, "scores").tables
    assert [row.cells[0] for row in views.rows] == ["test, T", "test, I+T"]
    assert all(len(row.cells) == len(views.header) for row in views.rows)
    assert [row.cells[0] for row in types.rows] == ["LOC", "PER"]
    assert all(len(row.cells) == len(types.header) for row in types.rows)
    # Of 60 mentions T has three of the wrong type, and I+T two.
    assert views.rows[0].cells[1:4] == ("95.00", "95.00", "95.00")
    assert views.rows[1].cells[1:4] == ("96.67", "96.67", "96.67")
    assert types.rows[1].cells == ("PER", "100.00", "95.00", "97.44", "100.00", "96.67", "98.31", "+0.87", "60")


def test_headlines_show_the_gain_from_the_picture(section: RunSection):
    assert [(headline.name, headline.value, headline.note) for headline in section.headlines] == [
        ("test F1, I+T", "96.67", "+1.67 over T; 60 mentions"),
        ("test F1, T", "95.00", "text only"),
    ]


def test_the_command_has_paths_relative_to_the_workspace(tmp_path: Path):
    command = f"ita train --dataset {tmp_path.resolve()}/mine --data /elsewhere"
    run = build_site(tmp_path.resolve(), posts=15)
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(record | {"command": command}))
    assert make_run_section(run, "").command == "ita train --dataset mine --data /elsewhere"


def test_learning_describes_its_curves_in_text_and_in_a_table(section: RunSection):
    learning = block(section, "learning")
    assert [figure.title for figure in learning.figures] == ["F1 on dev", "Training loss"]
    assert "T from 11.1 to 33.3" in learning.figures[0].alt
    assert "epoch 3 was kept" in learning.figures[0].alt
    (table,) = learning.tables
    assert [(row.cells[0], row.note) for row in table.rows] == [("1", ""), ("2", ""), ("3", "kept")]


def test_everything_that_the_run_depended_on_is_listed(section: RunSection):
    facts = {fact.name: f"{fact.value} {fact.note}" for fact in block(section, "dependence").facts}
    assert facts["run key"].startswith("0123456789abcdef" * 4)
    assert facts["stage ocr"].startswith(key_of("ocr").hexdigest)
    assert facts["stage objects"].endswith("detector nanodet-g")
    assert facts["test, words and mentions"] == f"{'a' * 64} 60 posts"
    assert facts["test, rendered contexts"] == f"{'b' * 64} 60 posts"
    assert "sha256:" in facts["encoder"]
    settings = dict(row.cells for row in block(section, "dependence").tables[0].rows)
    assert (settings["seed"], settings["objective.temperature"]) == ("1", "4.0")
    assert section.command.startswith("ita train --dataset mine")


def test_a_missing_file_of_a_run_is_an_error(tmp_path: Path):
    run = build_site(tmp_path)
    (run.folder / "history.json").unlink()
    with pytest.raises(MissingError, match=r"history\.json"):
        make_run_section(run, "")
