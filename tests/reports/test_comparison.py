"""Tests of the page about two runs: changed posts, differing settings, and the page in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.extraction.items import PostSource, make_post_refs
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.reports.comparison import report_comparison
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from ita_pipeline.runs.compare import compare_runs
from stages.knowledge.schema import KnowledgeValue
from tests.support.fakes import ita_here
from tests.support.report_pages import open_tab, parsed
from tests.support.report_site import CONTEXTS, NASTY, build_site, key_of, remember, write_other_run

PAGE = "compare.html"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about two runs that differ in seed, in words appended, and in the answers to five posts."""
    root = tmp_path_factory.mktemp("two")
    a = build_site(root)
    b = write_other_run(
        root,
        training=TrainingConfig(seed=7),
        contexts=CONTEXTS.model_copy(update={"words": 3}),
        preset="<b>own</b>",
    )
    comparison = compare_runs(a, b, samples=200)
    report = report_comparison(comparison, ReportWriter(root / PAGE, ReportOptions(workspace=root)))
    assert report.shown == 4
    return root


def data_of(root: Path) -> dict[str, Any]:
    return json.loads(parsed((root / PAGE).read_text("utf-8")).scripts["data"])


def test_the_posts_that_changed_are_there_with_the_answers_of_both(site: Path):
    entries = {entry["id"]: entry for entry in data_of(site)["entries"]}
    assert {name: [tag for tag in entry["tags"] if tag != "changed"] for name, entry in entries.items()} == {
        "post 1": ["wrong", "astray"],
        "post 2": ["right", "helped"],
        "post 3": ["wrong", "harmed"],
        "post 4": ["right", "text", "failed", "failed:objects"],
    }
    said = entries["post 2"]["answers"]
    assert list(said) == ["gold", "A T", "A I+T", "B T", "B I+T"]
    assert (said["A I+T"][0]["type"], said["B I+T"][0]["type"], said["B I+T"][0]["right"]) == ("LOC", "PER", True)


def test_the_tests_and_what_differs_are_told(site: Path):
    words = " ".join(" ".join(parsed((site / PAGE).read_text("utf-8")).words).split())
    for said in (
        "60 posts of test with 60 mentions. Posts with different predictions in either view, shown below: 4.",
        "training.seed 1 7",
        "contexts.words 100 3",
        "preset bundled <b>own</b>",
        "approximate randomization",
        "I+T 96.67",
    ):
        assert said in words, said
    assert "training.epochs" not in words


def test_the_page_is_as_tight_as_that_of_a_run(site: Path):
    page = (site / PAGE).read_text("utf-8")
    assert "default-src &#39;none&#39;" in page
    assert page.count("<script") == 2
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")


def test_contexts_of_stages_that_read_posts_are_shown(tmp_path: Path):
    a = build_site(tmp_path, posts=15)
    posts = load_dataset(str(tmp_path / "mine"), None, tmp_path / "data").splits["test"]
    refs = make_post_refs(PostSource(posts), [], [], Store(tmp_path / ".ita"))
    values = {ref.key: KnowledgeValue(source="http", text=f"knows {ref.text}") for ref in refs.values()}
    remember(tmp_path, key_of("knowledge"), values)
    keys = {**a.record().stage_keys, "knowledge": key_of("knowledge").hexdigest}
    b = write_other_run(tmp_path, stage_keys=keys)
    writer = ReportWriter(tmp_path / PAGE, ReportOptions(workspace=tmp_path))
    report_comparison(compare_runs(a, b, samples=100), writer)
    entries = {entry["id"]: entry for entry in data_of(tmp_path)["entries"]}
    assert ["knowledge", "knows hi max"] in entries["post 2"]["contexts"]


@pytest.mark.usefixtures("browser")
def test_filters_and_a_post_in_a_browser(site: Path, request: pytest.FixtureRequest):
    opened: Browser = request.getfixturevalue("browser")
    phone = opened.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark", reduced_motion="reduce")
    tab = open_tab(phone, site / PAGE)
    tab.begins("post 2", "post 3", "post 1", "post 4")
    for value, names in (
        ("helped", ["post 2"]),
        ("harmed", ["post 3"]),
        ("astray", ["post 1"]),
        ("text", ["post 4"]),
    ):
        tab.at("#show").select_option(value)
        tab.shows(*names)
    tab.at("#show").select_option("helped")
    tab.at("h1").click()
    tab.page.keyboard.press("j")
    detail = tab.at("#detail")
    expect(detail.locator("dl.says dt")).to_have_text(
        ["gold", "A T", "A I+T", "B T", "B I+T", "context objects", "context caption", "context words"]
    )
    expect(detail).to_contain_text("A: max LOC (wrong)")
    expect(detail).to_contain_text("B: max PER (right)")
    tree = detail.aria_snapshot()
    assert 'heading "What B predicts differently"' in tree
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert detail.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    assert tab.complaints == []
    assert all(address.startswith("data:") for address in tab.requests[1:])
    phone.close()


def test_the_command_writes_it_and_runs_that_agree_have_no_post(tmp_path: Path):
    run = build_site(tmp_path, posts=15)
    answer = ita_here("compare", run.folder, "mine/0123456789abcdef", "--html", "out/x.html", "--samples", "100")
    assert answer.code == 0, answer.err
    assert "wrote out/x.html with 0 changed posts" in answer.err
    assert "No setting, model or stage differs." in Path("out/x.html").read_text()
    assert NASTY[0] not in Path("out/x.html").read_text()
    with pytest.raises(UsageError, match="is a folder"):
        report_comparison(compare_runs(run, run, samples=100), ReportWriter(Path("out")))
