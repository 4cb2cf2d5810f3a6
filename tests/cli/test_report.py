"""`ita report` and `ita compare` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ita_pipeline.cli import app
from tests.support.fakes import ita
from tests.support.finished_run import GOLD, NOTHING, finished_run
from tests.support.report_site import build_site


def test_report_writes_a_page_and_needs_no_model():
    run = build_site(Path(), posts=15)
    Path("torch.py").write_text("raise ImportError('not needed')")
    paths = f"{Path().resolve()}:{Path(__file__).parents[2]}"
    answer = ita("report", run.folder, "--html", "out/page.html", "--pictures", "beside", PYTHONPATH=paths)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "report    out/page.html, 15 posts",
        "pictures  out/page_pictures, to be kept beside it",
    ]
    assert Path("out/page.html").stat().st_size > 20_000
    assert len(list(Path("out/page_pictures").glob("*.jpg"))) == 15


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere", "--html", "x.html"], 3, "there is no run, dataset or folder nowhere"),
        (["nowhere"], 2, "--html"),
        (["nowhere", "--html", "x.html", "--pictures", "all"], 2, "--pictures"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments: list[str], code: int, says: str):
    answer = ita("report", *arguments)
    assert answer.code == code, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_compare_prints_a_table_or_json():
    finished_run("a", NOTHING, GOLD)
    finished_run("b", GOLD, GOLD)
    answer = CliRunner().invoke(app, ["compare", "mine/a", "runs/mine/b", "--samples", "200"])
    assert answer.exit_code == 0
    header, text, both = answer.stdout.splitlines()
    assert header.split("  ")[0] == "view"
    assert text.split()[:4] == ["T", "0.00", "100.00", "+100.00"]
    assert both.split()[-1] == "1.0000"
    assert "3 posts of test with 2 mentions; 200 samples" in answer.stderr
    assert "the same run" not in answer.stderr
    assert "A and B are the same run\n" in CliRunner().invoke(app, ["compare", "mine/a", "mine/a"]).stderr
    content = json.loads(CliRunner().invoke(app, ["compare", "mine/a", "mine/b", "--json"]).stdout)
    assert content["schema"] == "ita.compare/1"
    assert set(content["views"]["text+image"]) == {"a", "b", "difference", "bootstrap", "randomisation"}
    assert content["views"]["text"]["bootstrap"].keys() == {"samples", "low", "high", "not_better"}
