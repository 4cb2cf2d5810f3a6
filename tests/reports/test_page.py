"""Tests of the page as a file: text is never markup, and the policy allows only its own script and style."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.gallery import VIEW_COMPARISON, Gallery
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from tests.support.report_pages import data_of, parsed
from tests.support.report_site import NASTY, build_site

OURS = {"src", "srcset", "href"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("page")
    run = build_site(root)
    file = root / "out" / "page.html"
    make_report(run.folder, ReportWriter(file, ReportOptions(workspace=root)))
    return file.read_text("utf-8")


def test_text_is_never_markup(page: str):
    elements = parsed(page)
    tags = [tag for tag, _ in elements.elements]
    assert tags.count("script") == 2
    assert tags.count("style") == 1
    assert not {"iframe", "object", "embed", "form", "svg", "base"} & set(tags)
    assert not [name for _, attributes in elements.elements for name in attributes if name.startswith("on")]
    assert not [attributes for _, attributes in elements.elements if "style" in attributes]
    assert page.count("</script") == page.count("<script") == 2
    assert "<!--" not in page


def test_the_file_has_no_hidden_characters(page: str):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", page)
    words = "".join(parsed(page).words)
    assert "--set 'x.y=<b>‹U+202E›'" in words
    assert "bert<i>" in words


def test_the_data_have_the_texts_of_the_posts(page: str):
    entries = data_of(page)["entries"]
    assert len(entries) == 60
    texts = ["".join(entry["parts"]) for entry in entries]
    assert f"x {NASTY[0]}" in texts
    assert "x ‹U+202E›gnirts" in texts
    assert "x ␛[31mred␇" in texts
    assert "x {{ 7*7 }}" in texts
    assert all(re.fullmatch(r"test-\d+", entry["anchor"]) for entry in entries)
    failed = next(entry for entry in entries if "failed" in entry.get("tags", []))
    assert failed["found"]["failed"][0]["reason"] == "damaged ␛[31m<b>picture</b>"


def test_the_policy_allows_its_own_script_and_style_and_pictures_and_nothing_else(page: str):
    elements = parsed(page)
    policy = next(a["content"] for _, a in elements.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    script, style = elements.scripts["script"], elements.scripts["style"]
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "script-src": f"'{digest(script)}'",
        "style-src": f"'{digest(style)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not re.search(r"url\(|@import|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script + style)


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_page_links_to_nothing_outside_itself(page: str):
    addresses = [str(v) for _, a in parsed(page).elements for k, v in a.items() if k in OURS]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    pictures = data_of(page)["pictures"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures.values())
    assert len(pictures) == 60


def test_thumbnails_beside_the_page_are_allowed_by_the_policy_and_nothing_else(tmp_path: Path):
    run = build_site(tmp_path, posts=15)
    report = make_report(
        run.folder, ReportWriter(Path("p.html"), ReportOptions(workspace=tmp_path, pictures=Pictures.BESIDE))
    )
    page = Path("p.html").read_text("utf-8")
    assert "img-src data: &#39;self&#39; file:;" in page
    assert report.pictures == Path("p_pictures")
    sources = set(data_of(page)["pictures"].values())
    assert sources == {f"p_pictures/{file.name}" for file in Path("p_pictures").iterdir()}
    assert len(sources) == 15


def test_the_same_input_gives_the_same_page(tmp_path: Path):
    run = build_site(tmp_path, posts=15)
    pages = []
    for name in ("a.html", "b.html"):
        make_report(run.folder, ReportWriter(Path(name), ReportOptions(workspace=tmp_path)))
        pages.append(Path(name).read_bytes())
    assert pages[0] == pages[1]


def test_an_empty_gallery_is_a_page_too():
    empty = Gallery(
        what="posts",
        telling=VIEW_COMPARISON,
        unused="",
        entries=(),
        pictures={},
        types=(),
        filters=(),
        stages=(),
        splits=(),
        sorts=(),
        order="order",
    )
    ReportWriter(Path("page.html"), None, None).write("nothing <yet>", empty)
    page = Path("page.html").read_text("utf-8")
    assert "<title>nothing &lt;yet&gt;</title>" in page
