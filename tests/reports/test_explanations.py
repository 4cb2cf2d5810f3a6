"""Tests of explanations on pages: which posts have one, in words, and how the page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.reports import build
from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from tests.reports.conftest import PATIENCE
from tests.support.browsers import CHROMIUM, NO_BROWSER
from tests.support.report_pages import Tab, data_of, open_tab
from tests.support.report_site import build_site


@dataclass(frozen=True)
class FakeView:
    """A tagged view; PER is more probable the more contexts there are."""

    mentions: list[ScoredSpan]
    contexts: int

    def probability(self, span: Span) -> float:
        per = self.contexts / 4
        return per if span.type == "PER" else 1 - per


def decode(posts: Sequence[Any]) -> list[FakeView]:
    """Find PER in the last word with all three contexts of a post, and else LOC; in the second post the reverse."""
    views: list[FakeView] = []
    for post, contexts in posts:
        kind = "PER" if (len(contexts) == 3) == (post.text != "hi lou") else "LOC"
        views.append(FakeView([ScoredSpan(Span(1, len(post.words), kind), 0.75)], len(contexts)))
    return views


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    run = build_site(root)

    class FakePredictor:
        def __init__(self, *_: Any) -> None:
            self.decode = decode

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "Predictor", FakePredictor)
        options = ReportOptions(workspace=root, explain=True)
        return make_report(run.folder, ReportWriter(root / "page.html", options)).page


def test_posts_whose_answer_the_contexts_changed_are_explained(page: Path):
    data = data_of(page.read_text())
    by_id = {entry["id"]: entry for entry in data["entries"]}
    explained = [name for name, entry in by_id.items() if "explanation" in entry]
    assert explained[:2] == ["post 0", "post 1"]
    assert not {"post 2", "post 3", "post 4"} & {*explained}
    explanation = by_id["post 0"]["explanation"]
    assert explanation["mentions"] == [
        {"start": 1, "end": 2, "type": "PER", "score": 0.75},
        {"start": 1, "end": 2, "type": "LOC", "score": 0.25, "found": False},
    ]
    assert explanation["without"][0] == {"scores": [0.0, 1.0]}
    assert explanation["without"][1] == {
        "context": "objects",
        "text": "red person",
        "pieces": [0],
        "scores": [0.5, 0.5],
    }
    found = by_id["post 0"]["found"]
    assert [thing.get("piece") for thing in found["objects"]] == [0, None]
    assert [thing["piece"] for thing in found["words"]] == [0, 1]


def test_a_post_whose_answer_the_cache_does_not_give_is_left_out_with_a_note(tmp_path: Path):
    run = build_site(tmp_path, posts=15)

    class FakePredictor:
        def __init__(self, *_: Any) -> None:
            self.decode = lambda posts: [FakeView([], len(contexts)) for _, contexts in posts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "Predictor", FakePredictor)
        writer = ReportWriter(tmp_path / "page.html", ReportOptions(workspace=tmp_path, explain=True))
        made = make_report(run.folder, writer)
    assert not any("explanation" in entry for entry in data_of(made.page.read_text())["entries"])
    assert writer.notes.lines[0].startswith("3 changed posts without an explanation")


@pytest.fixture
def tab(browser: Browser, page: Path) -> Iterator[Tab]:
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    opened = open_tab(context, page, "#post=test-1")
    yield opened
    assert opened.complaints == []
    context.close()


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_the_page_shows_what_each_part_is_worth(tab: Tab):
    rows = tab.at("#detail .worth tr").all_inner_texts()
    assert rows[0].split() == ["kim", "PER", "kim", "LOC"]
    assert [row.split("\t") for row in rows[1:4]] == [
        ["with all contexts", "75 %", "25 %"],
        ["without any context", "0 %", "100 %"],
        ["without red person", "50 %", "50 %"],
    ]
    tab.says("#card-test-1 .strongest", "without red person: PER 75 % → 50 %")


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_a_thread_joins_a_mention_and_its_evidence_by_keyboard_in_both_directions(tab: Tab):
    mention = tab.at("#detail mark.tied").last
    mention.focus()
    # The word with the same text in the picture and in the line of words, and the person, which is decisive.
    expect(tab.at("#detail .threads")).to_have_count(4)
    expect(mention).to_contain_text("evidence in the picture: red person, KIM, street")
    expect(tab.at("#detail .mark.lit")).to_have_count(3)
    word = tab.page.get_by_role("img", name="word “KIM” 80 %; evidence for kim, PER")
    word.focus()
    expect(tab.at("#detail .threads")).to_have_count(1)
    expect(mention).to_have_class("c1 boxed tied lit")
    tab.at("#close").focus()
    expect(tab.at("#detail .threads")).to_have_count(0)
    expect(tab.at("#detail .lit")).to_have_count(0)


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_cards_have_no_hidden_stops_of_the_tab_key(tab: Tab):
    tab.page.keyboard.press("Escape")
    stops = []
    for _ in range(30):
        tab.page.keyboard.press("Tab")
        stops.append(tab.page.evaluate("document.activeElement.closest('[aria-hidden=true]') !== null"))
    assert not any(stops)
