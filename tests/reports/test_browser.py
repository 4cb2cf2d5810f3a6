"""The page in a real Chromium: filters, keys, links, no error in the console, and no request to anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from tests.reports.conftest import PATIENCE
from tests.support.browsers import CHROMIUM, NO_BROWSER
from tests.support.fakes import draw
from tests.support.report_pages import Tab, open_tab
from tests.support.report_site import NASTY, build_site, hash_file, key_of, objects, remember

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    run = build_site(root)
    make_report(run.folder, ReportWriter(root / "page.html", ReportOptions(workspace=root)))
    return root


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(reduced_motion="reduce")
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext, site: Path) -> Iterator[Tab]:
    """The page of the run; what it complained of fails the test that uses it."""
    opened = open_tab(context, site / "page.html")
    yield opened
    assert opened.complaints == []
    assert all(address.startswith("data:") for address in opened.requests[1:])


def test_it_shows_posts_page_by_page(tab: Tab):
    tab.says("#count", "60 posts, page 1 of 3")
    expect(tab.at("#cards h3")).to_have_count(24)
    for page in ("2", "3"):
        tab.at("#page-on").click()
        tab.says("#count", f"60 posts, page {page} of 3")
    expect(tab.at("#page-on")).to_be_disabled()
    expect(tab.at("#cards h3")).to_have_count(12)
    assert tab.page.url.endswith("#page=3")
    tab.page.go_back()
    expect(tab.at("#page-number")).to_have_value("2")
    for typed, shown in (("1", "1"), ("99", "3"), ("-4", "1")):
        tab.at("#page-number").fill(typed)
        tab.at("#page-number").press("Enter")
        tab.says("#count", f"60 posts, page {shown} of 3")


def test_the_most_telling_posts_come_first(tab: Tab):
    tab.begins("post 0", NASTY[0], "post 1", "post 2", "post 3")
    tab.at("#sort").select_option("order")
    tab.begins("post 0", "post 1", "post 2")
    tab.at("#sort").select_option("unsure")
    tab.begins("post 59")
    tab.at("#sort").select_option("sure")
    tab.begins("post 0", "post 1")


@pytest.mark.parametrize(
    ("chooser", "value", "names"),
    [
        ("show", "helped", ["post 0", NASTY[0]]),
        ("show", "harmed", ["post 1"]),
        ("show", "wrong", ["post 1", "post 2"]),
        ("show", "changed", ["post 0", NASTY[0], "post 1"]),
        ("show", "failed", ["post 4"]),
        ("type", "LOC", ["post 0", NASTY[0], "post 1", "post 2"]),
    ],
)
def test_filters(tab: Tab, chooser: str, value: str, names: list[str]):
    tab.at(f"#{chooser}").select_option(value)
    tab.shows(*names)
    tab.says("#count", f"{len(names)} of 60 posts")
    assert f"{chooser}={value}" in tab.page.url


def test_choices_have_the_counts_that_the_other_filters_leave_and_all_are_cleared(tab: Tab):
    tab.at("#show").select_option("wrong")
    choices = tab.at("#error option").all_inner_texts()
    assert choices == ["any", "right (0)", "right words, wrong type (2)"]
    tab.at("#pair").select_option(label="PER → PER (0)")
    tab.shows()
    expect(tab.at("#cards")).to_have_text("No posts pass these filters.")
    tab.at("#clear").click()
    tab.says("#count", "60 posts, page 1 of 3")
    expect(tab.at("#show")).to_be_focused()
    expect(tab.at("#clear")).to_be_hidden()


def test_the_first_screen_shows_what_the_picture_changed(tab: Tab):
    expect(tab.at("#highlight-cards h3")).to_have_text(["post 0", NASTY[0]])
    tab.at("#highlight-cards .told").first.click()
    tab.says("#detail-title", "post 0")
    tab.page.keyboard.press("Escape")
    expect(tab.at("#highlight-cards h3 a").first).to_be_focused()
    tab.at("#highlights-all").click()
    tab.says("#count", "3 of 60 posts")


def test_numbers_filter_the_gallery_and_links_to_sections_keep_the_filters(tab: Tab):
    cells = tab.page.get_by_role("table", name="Gold type × predicted type, I+T")
    cells.get_by_role("link", name="2", exact=True).click()
    tab.shows("post 1", "post 2")
    tab.at("nav a[href='#dependence']").click()
    expect(tab.at("#dependence .command")).to_be_visible()
    tab.shows("post 1", "post 2")
    assert "pair=PER%3ELOC" in tab.page.url


def test_the_switches_of_the_dialog_are_those_of_the_page(tab: Tab):
    tab.at("#cards h3 a").first.click()
    expect(tab.at("#detail .mark.word")).to_have_count(2)
    tab.at("#dialog-draw").get_by_label("words").uncheck()
    expect(tab.at("#detail .mark.word")).to_have_count(0)
    expect(tab.at("#draw-words")).not_to_be_checked()


def test_letters_as_keys_can_be_switched_off(tab: Tab):
    tab.at("#letters").uncheck()
    tab.at("h1").click()
    tab.page.keyboard.press("j")
    expect(tab.at("#detail")).to_be_hidden()
    tab.page.keyboard.press("ArrowRight")
    tab.says("#detail-title", "post 0")


def test_find_looks_at_text_words_labels_captions_and_reasons(tab: Tab):
    for text, names in [
        ("POST 17", ["post 17", "post 32"]),
        ("street person", ["post 0", "post 1", "post 2", "post 3"]),
        ("damaged", ["post 4"]),
        ("<script>alert", [NASTY[0]]),
        ("no such thing", []),
    ]:
        tab.at("#find").fill(text)
        tab.shows(*names)


def test_keys_walk_through_what_is_chosen(tab: Tab):
    tab.at("#show").select_option("wrong")
    tab.shows("post 1", "post 2")
    tab.at("h1").click()
    for key, title in [("j", "post 1"), ("ArrowRight", "post 2"), ("ArrowRight", "post 2"), ("k", "post 1")]:
        tab.page.keyboard.press(key)
        tab.says("#detail-title", title)
    tab.says("#place", "1 of 2")
    expect(tab.at("#previous")).to_be_disabled()
    assert tab.page.url.endswith("#show=wrong&post=test-2")
    tab.page.keyboard.press("Escape")
    expect(tab.at("#detail")).to_be_hidden()
    listed = tab.page.get_by_role("article", name="post 1").get_by_role("link", name="post 1", exact=True)
    expect(listed).to_be_focused()
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("jj")
    expect(tab.at("#find")).to_have_value("jj")
    tab.shows()
    expect(tab.at("#detail")).to_be_hidden()


def test_an_entry_has_all_that_is_known_of_it(tab: Tab):
    tab.at("#cards h3 a").first.click()
    detail = tab.at("#detail")
    for words in (
        "from the text alone: kim LOC (wrong)",
        "with the picture: kim PER (right)",
        "a person 40 %",
        "person 90 % · red 50 %",
        "KIM 80 %",
        "0.png, 64 × 48 pixels",
    ):
        expect(detail).to_contain_text(words)
    right = ", evidence in the picture: KIM"
    marks = [f"kim PER{right}", "kim LOC ✗, wrong 90 %", f"kim PER ✓, right 90 %{right}"]
    expect(detail.locator("mark")).to_have_text(marks)
    expect(detail.locator(".mark")).to_have_count(3)
    detail.locator(".mark.object").focus()
    tab.says("#detail .told", "person 90 % (red 50 %)")
    expect(detail.locator(".mark.object")).to_have_attribute("aria-label", "person 90 % (red 50 %)")
    detail.locator(".mark.word").last.hover()
    tab.says("#detail .told", "word “street” 80 %")
    tab.page.go_back()
    expect(detail).to_be_hidden()


def test_a_mention_lights_its_boxes_while_it_is_pointed_at_or_has_the_focus(tab: Tab):
    first = tab.at("#cards .card").first
    first.locator("mark.boxed").hover()
    expect(first.locator(".place rect")).to_have_attribute("x", "4")
    tab.at("#cards h3 a").first.click()
    detail = tab.at("#detail")
    expect(detail.locator(".place")).to_have_count(0)
    detail.locator("mark.boxed").focus()
    expect(detail.locator(".place rect")).to_have_attribute("width", "16")
    expect(detail.locator("mark.boxed")).to_have_attribute("title", "PER 90 %; <b>the only person, 80 %")
    detail.locator(".mark.object").focus()
    expect(detail.locator(".place")).to_have_count(0)


def test_boxes_can_be_switched(tab: Tab):
    marks = tab.at("#cards .card").first.locator(".mark")
    labels = tab.at("#cards .card").first.locator("svg text")
    expect(marks).to_have_count(3)
    expect(labels).to_have_text("red person")
    tab.at("#draw-unused").check()
    expect(marks).to_have_count(4)
    tab.at("#draw-objects").uncheck()
    expect(marks).to_have_count(2)
    expect(labels).to_have_count(0)


def test_a_link_opens_an_entry_whatever_filters_it_was_made_under(context: BrowserContext, site: Path):
    tab = open_tab(context, site / "page.html", "#show=failed&post=test-40")
    tab.says("#detail-title", "post 39")
    tab.at("#close").click()
    tab.says("#count", "60 posts, page 2 of 3")
    expect(tab.page.get_by_role("link", name="post 39", exact=True)).to_be_focused()
    for fragment in ("#post=test-999", "#show=<img src=x>&page=-3&sort=__proto__", "#%FF=1", "#scores"):
        tab.page.goto("about:blank")
        tab.page.goto((site / "page.html").as_uri() + fragment)
        tab.says("#count", "60 posts, page 1 of 3")
    assert tab.complaints == []


def test_what_was_said_is_text_in_the_page(tab: Tab):
    tab.at("#sort").select_option("order")
    tab.begins("post 0", "post 1", "post 2", "post 3", "post 4", *NASTY[:5], "‹U+202E›gnirts")
    address = tab.page.url.partition("#")[0]
    for number in range(6, 6 + len(NASTY)):
        tab.page.goto(f"{address}#sort=order&post=test-{number}")
        tab.says("#place", f"{number} of 60")
        expect(tab.at("#detail .mark.object")).to_have_count(2)
        assert tab.at("img[src='x'], svg svg, [onerror], [onmouseover], [onload]").count() == 0
    assert tab.page.evaluate("document.scripts.length") == 2


def test_inline_code_that_got_in_would_not_run(tab: Tab):
    """The policy itself, were escaping ever to fail."""
    tab.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 1";
            const image = document.createElement("img");
            image.src = "https://example.com/x.png";
            document.body.append(script, image);
        }"""
    )
    assert tab.page.evaluate("window.ran") is None
    assert len([text for text in tab.complaints if "Content Security Policy" in text]) == 2
    tab.complaints.clear()
    tab.requests.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_only_down(browser: Browser, site: Path, scheme: str):
    phone = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme, has_touch=True)
    phone.set_default_timeout(PATIENCE)
    tab = open_tab(phone, site / "page.html", "#post=test-1")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert tab.at("#detail").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    tab.at("#detail .mark.object").tap(position={"x": 4, "y": 4})
    tab.says("#detail .told", "person 90 % (red 50 %)")
    colours = tab.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    dark = [sum(map(int, colour[4:-1].split(","))) < 384 for colour in colours]
    assert dark == ([False, True] if scheme == "light" else [True, False])
    phone.close()


def test_a_screen_reader_finds_its_way(tab: Tab):
    page = tab.page
    for role, name in [
        ("navigation", "Sections"),
        ("search", "Filter the posts"),
        ("combobox", "Show"),
        ("searchbox", "Find"),
        ("table", "Both views"),
        ("region", "Scores"),
        ("status", None),
        ("button", "More →"),
    ]:
        assert page.get_by_role(role, name=name, exact=name is not None).count() >= 1, role
    pictures = page.locator("img")
    assert all(pictures.nth(n).get_attribute("alt") for n in range(pictures.count()))
    page.locator("#cards h3 a").first.click()
    expect(page.get_by_role("dialog", name="post 0")).to_be_visible()
    expect(page.get_by_role("img", name="person 90 % (red 50 %)")).to_be_visible()
    expect(tab.at("#detail-title")).to_be_focused()


def test_thumbnails_beside_the_page_are_shown(context: BrowserContext, tmp_path: Path):
    path = draw(tmp_path / "images" / '"><img onerror=alert(1)>.png', "red", (640, 480))
    remember(tmp_path, key_of("objects"), {hash_file(path): objects("cat")})
    options = ReportOptions(workspace=tmp_path, pictures=Pictures.BESIDE)
    made = make_report(tmp_path / "images", ReportWriter(tmp_path / "my page #1.html", options))
    assert made.pictures is not None
    tab = open_tab(context, made.page)
    tab.shows(path.name)
    image = tab.at("#cards img")
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.naturalWidth") == 480
    assert [address.rpartition("/")[2] for address in tab.requests[1:] if "data:" not in address] == [
        f"{hash_file(path)}.jpg"
    ]
    assert tab.complaints == []


def test_chinese_and_japanese_text_is_marked_as_such(context: BrowserContext, tmp_path: Path):
    lines = [{"text": text, "mentions": []} for text in ("王俊凯现身北京大学", "東京タワーへ", "hi")]
    (tmp_path / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    card = tmp_path / "card.yaml"
    card.write_text("about: mine\nformat: jsonl\nlanguage: zh-TW\nfiles: {all: [tweets.jsonl]}\n")
    options = ReportOptions(workspace=tmp_path, data=tmp_path)
    make_report(str(card), ReportWriter(tmp_path / "page.html", options))
    tab = open_tab(context, tmp_path / "page.html")
    expect(tab.at("#cards dd bdi[lang=zh-TW]")).to_have_text("王俊凯现身北京大学")
    expect(tab.at("#cards dd bdi[lang=ja]")).to_have_text("東京タワーへ")
    expect(tab.at("#cards dd bdi:not([lang])")).to_have_text("hi")
    assert tab.complaints == []
