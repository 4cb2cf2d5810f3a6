"""The report: nothing that a post said is markup, and the page asks nobody for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.fakes import draw, ita
from tests.tiny_encoder import build_bert

NASTY = ["<script>alert(1)</script>", '"><img onerror=x>', "\u202egnirts", "\x1b[31mred", "a&amp;b", "{{ 7*7 }}"]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("report")
    build_bert(root / "bert")
    lines = []
    for number, word in enumerate(NASTY * 3):
        split = ("train", "dev", "test")[number // len(NASTY)]
        draw(root / "mine" / f"{number}.png", "red", (30 + number, 30))
        mention = {"start": 0, "end": 1, "type": "PER"}
        post = {"id": word, "text": f"x {word}", "image": f"{number}.png", "split": split, "mentions": [mention]}
        lines.append(json.dumps(post))
    (root / "mine" / "tweets.jsonl").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        settings = ("--preset", "bundled", "--encoder", "bert", "--set", "training.epochs=1")
        answer = ita("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    (report,) = Path(root).glob("runs/mine/*/report.html")
    return report.read_text("utf-8")


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def test_posts_are_text_and_never_markup(page: str):
    elements = parsed(page)
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "input"}
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    words = " ".join("".join(elements.words).split())
    assert "x <script>alert(1)</script>" in words
    assert "{{ 7*7 }}" in words
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_the_page_asks_nobody_for_anything(page: str):
    elements = parsed(page)
    sources = [v for _, attributes in elements.found for k, v in attributes.items() if k in ("src", "href")]
    assert len(sources) == len(NASTY)
    assert all(source and source.startswith("data:image/jpeg;base64,") for source in sources)
    policy = next(a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"url\(|@import", page)


def test_both_views_and_the_gold_mentions_are_shown(page: str):
    words = " ".join("".join(parsed(page).words).split())
    for expected in ("test T", "test I+T", "gold", "run key", "epoch"):
        assert expected in words
    assert sum(tag == "article" for tag, _ in parsed(page).found) == len(NASTY)
    assert sum(a.get("data-type") == "PER" for tag, a in parsed(page).found if tag == "mark") >= len(NASTY)
