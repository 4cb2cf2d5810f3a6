"""The site: built strictly, its links and reference right, and nobody else asked for anything."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.browsers import CHROMIUM, NO_BROWSER

ROOT = Path(__file__).parents[2]
PAGES = ["index", "method", "commands"]


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


def test_the_reference_is_what_the_code_says():
    done = python("scripts/reference.py", "--check")
    assert done.returncode == 0, done.stderr


def test_every_link_leads_somewhere():
    done = python("scripts/check_links.py", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples")
    assert done.returncode == 0, done.stdout


def test_the_citation_names_the_paper_and_this_version():
    from ita_pipeline.core.config import read_yaml

    found = read_yaml(ROOT / "CITATION.cff")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert str(found["version"]) == version[1]
    paper = found["preferred-citation"]
    assert "Image-Text Alignments" in paper["title"]
    assert [author["family-names"] for author in paper["authors"]][:2] == ["Wang", "Gui"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="the extra docs is not installed")
    place = tmp_path_factory.mktemp("site")
    done = python("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", place)
    assert done.returncode == 0, done.stderr
    return place


def test_the_navigation_has_every_page_once(site: Path):
    text = (site / "index.html").read_text("utf-8")
    nav = text[text.index('<nav class="md-nav md-nav--primary') : text.index("<article")]
    linked = set(re.findall(r'<a href="([^"#:]+)" class="md-nav__link', nav))
    pages = {page.name for page in site.glob("*.html")} - {"404.html", "index.html"}
    assert linked - {"./", "."} - {"index.html"} == pages
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= pages


def test_formulas_are_shown_without_a_script(site: Path):
    text = (site / "method.html").read_text("utf-8")
    assert text.count('display="block"') == 6
    assert "arithmatex" not in text
    assert "$" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_links_out_of_the_docs_lose_their_address_and_not_their_words(site: Path):
    assert "<code>ita_pipeline/ner/</code>" in (site / "method.html").read_text("utf-8")
    assert not [page.name for page in site.glob("*.html") if re.search(r'href="\.\./', page.read_text("utf-8"))]


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_browser_asks_nobody_else_and_no_page_is_wider_than_a_phone(address: str):
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        for scheme, width in (("dark", 400), ("light", 1280)):
            tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
            for page in PAGES:
                tab.goto(f"{address}/{page}.html", wait_until="load")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, page
                assert tab.get_by_role("heading", level=1).count() == 1
        tab.goto(f"{address}/index.html?q=temperature", wait_until="load")
        tab.locator(".md-search-result__link").first.wait_for(timeout=15_000)
        browser.close()
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert complaints == []
