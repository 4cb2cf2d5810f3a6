"""`ita report` as a person calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fakes import ita
from tests.support.report_site import build_site


def test_report_writes_a_page_and_needs_no_model():
    run = build_site(Path(), posts=15)
    Path("torch.py").write_text("raise ImportError('not needed')")
    paths = f"{Path().resolve()}:{Path(__file__).parents[2]}"
    answer = ita("report", run.folder, "--html", "out/page.html", "--pictures", "beside", PYTHONPATH=paths)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "report    out/page.html, 15 posts",
        "pictures  out/page_pictures, which belongs beside it",
    ]
    assert Path("out/page.html").stat().st_size > 20_000
    assert len(list(Path("out/page_pictures").glob("*.jpg"))) == 15


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--html", "x.html"], "nowhere is no run, no dataset and no folder of pictures"),
        (["nowhere"], "--html"),
        (["nowhere", "--html", "x.html", "--pictures", "all"], "--pictures"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments: list[str], says: str):
    answer = ita("report", *arguments)
    assert answer.code == 2, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err
