"""What a page says about a run: all scores, the epoch that was kept, and everything that it depended on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError
from ita_pipeline.reports.blocks import Block, RunPart
from ita_pipeline.reports.run_section import run_part
from tests.support.report_site import build_site, key_of


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> RunPart:
    return run_part(build_site(tmp_path_factory.mktemp("run")), "about it")


def block(part: RunPart, name: str) -> Block:
    return next(found for found in part.blocks if found.id == name)


def test_both_views_are_scored_in_all_and_by_type(part: RunPart):
    views, types = block(part, "scores").tables
    assert [row.cells[0] for row in views.rows] == ["test, T", "test, I+T"]
    assert all(len(row.cells) == len(views.header) for row in views.rows)
    assert [row.cells[0] for row in types.rows] == ["LOC", "PER"]
    assert all(len(row.cells) == len(types.header) for row in types.rows)
    # Of 60 mentions T has three of the wrong type, and I+T two.
    assert views.rows[0].cells[1:4] == ("95.00", "95.00", "95.00")
    assert views.rows[1].cells[1:4] == ("96.67", "96.67", "96.67")
    assert types.rows[1].cells == ("PER", "100.00", "95.00", "97.44", "100.00", "96.67", "98.31", "+0.87", "60")


def test_headlines_say_what_the_picture_brings(part: RunPart):
    assert [(found.name, found.value, found.note) for found in part.headlines] == [
        ("test F1, I+T", "96.67", "+1.67 over T"),
        ("test F1, T", "95.00", "the text alone"),
    ]


def test_learning_says_in_words_and_numbers_what_its_curves_draw(part: RunPart):
    learning = block(part, "learning")
    assert [figure.title for figure in learning.figures] == ["F1 on dev", "Loss in training"]
    assert "T from 11.1 to 33.3" in learning.figures[0].said
    assert "epoch 3 was kept" in learning.figures[0].said
    (table,) = learning.tables
    assert [(row.cells[0], row.note) for row in table.rows] == [("1", ""), ("2", ""), ("3", "kept")]


def test_everything_that_it_depended_on_is_there(part: RunPart):
    facts = {fact.name: f"{fact.code} {fact.note}" for fact in block(part, "dependence").facts}
    assert facts["run key"].startswith("0123456789abcdef" * 4)
    assert facts["stage ocr"].startswith(key_of("ocr").hexdigest)
    assert facts["stage objects"].endswith("detector nanodet-g")
    assert facts["test, words and mentions"] == f"{'a' * 64} 60 posts"
    assert facts["test, contexts as rendered"] == f"{'b' * 64} 60 posts"
    assert "sha256:" in facts["encoder"]
    settings = dict(row.cells for row in block(part, "dependence").tables[0].rows)
    assert (settings["seed"], settings["objective.temperature"]) == ("1", "4.0")
    assert part.command.startswith("ita train --dataset mine")


def test_a_run_that_lost_a_file_is_a_sentence(tmp_path: Path):
    run = build_site(tmp_path)
    (run.folder / "history.json").unlink()
    with pytest.raises(MissingError, match=r"history\.json"):
        run_part(run, "")
