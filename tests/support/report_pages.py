"""Reading the pages of reports: as a file, and in a browser."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from tests.support.messages import logged_messages

PAGE = Path("page.html")


class Elements(HTMLParser):
    """The elements, texts and scripts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.scripts: dict[str, str] = {}
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = str(dict(attrs).get("id") or tag) if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        else:
            self.words.append(data)


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def data_of(page: str) -> dict[str, Any]:
    return json.loads(parsed(page).scripts["data"])


def report(target: str | Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Write a page about a target; return its data and the reported lines."""
    with logged_messages() as messages:
        result = make_report(target, ReportWriter(PAGE, ReportOptions(**options)))
    page = PAGE.read_text("utf-8")
    words = html.unescape(page)
    data = data_of(page)
    assert result.shown == len(data.get("entries", []))
    assert all(line in words or line.startswith(("run ", "using run ")) for line in messages)
    return data, messages


@dataclass
class Tab:
    """A page that is open, and everything it complained of or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def shows(self, *names: str) -> None:
        """The page comes to show exactly these posts, in this order."""
        expect(self.at("#cards h3")).to_have_text(list(names))

    def begins(self, *names: str) -> None:
        """The page comes to show these posts before others."""
        for number, name in enumerate(names):
            expect(self.at("#cards h3").nth(number)).to_have_text(name)

    def says(self, selector: str, text: str) -> None:
        expect(self.at(selector)).to_have_text(text)


def open_tab(context: BrowserContext, file: Path, fragment: str = "") -> Tab:
    tab = Tab(context.new_page())
    tab.page.on("console", lambda message: tab.complaints.append(message.text))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("dialog", lambda dialog: (tab.complaints.append(dialog.message), dialog.dismiss()))
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.goto(file.as_uri() + fragment)
    return tab
