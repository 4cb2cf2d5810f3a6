"""Tests of the demo's routes and page: responses, refusals, the description, and the page in a browser."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect, sync_playwright

import ita_pipeline as ita
from tests.support.browsers import CHROMIUM, NO_BROWSER
from tests.support.demo_server import Server

PATIENCE = 30_000  # milliseconds


def test_a_post_gets_the_mentions_of_ita_predict(server: Server):
    status, answer = server.ask(("text", b"hi kim"), ("image", server.picture.read_bytes()))
    assert status == 200, answer
    assert answer["schema"] == "ita.answer/1"
    predictor = ita.load(server.run)
    alone, both = predictor.predict("hi kim"), predictor.predict("hi kim", image=server.picture)
    assert both.contexts == tuple(answer["contexts"])
    assert "MARLOW" in answer["contexts"]
    for view, expected in (("text", alone), ("text+image", both)):
        wanted = expected.to_json()["mentions"]
        assert [{**m, "score": pytest.approx(m["score"], abs=2e-4)} for m in answer["views"][view]] == wanted
    assert answer["views"]["text"][0] | {"score": 0} == {
        "start": 3,
        "end": 6,
        "text": "kim",
        "type": "PER",
        "score": 0,
    }
    assert (answer["found"]["width"], answer["found"]["words"][0]["text"]) == (420, "MARLOW")


def test_the_text_or_the_picture_may_be_missing(server: Server):
    _, alone = server.ask(("text", "hi \U0001f600 kim".encode()))
    assert (alone["views"]["text+image"], alone["found"], alone["contexts"]) == (None, None, [])
    assert alone["text"] == "hi \U0001f600 kim"
    status, pictured = server.ask(("image", server.picture.read_bytes()))
    assert (status, pictured["views"]) == (200, {"text": [], "text+image": []})
    assert "MARLOW" in pictured["contexts"]


def test_pieces_are_left_out_and_the_answer_is_explained(server: Server):
    post = ("text", b"hi kim"), ("image", server.picture.read_bytes())
    _, whole = server.ask(*post, ("explain", b"true"))
    assert dict(zip(whole["context_names"], whole["contexts"], strict=True))["ocr"] == "MARLOW"
    pieces = [("objects", thing["piece"]) for thing in whole["found"]["objects"] if thing["used"]]
    pieces += [("caption", 0), ("ocr", whole["found"]["words"][0]["piece"])]
    status, bare = server.ask(*post, ("without", ",".join(f"{name}:{piece}" for name, piece in pieces).encode()))
    assert (status, bare["contexts"], bare["explanation"]) == (200, [], None)
    assert bare["views"]["text+image"] == bare["views"]["text"] == whole["views"]["text"]
    explanation = whole["explanation"]
    assert explanation["without"][0]["context"] == ""
    scores = {(m["start"], m["end"], m["type"]): n for n, m in enumerate(explanation["mentions"])}
    for mention in whole["views"]["text"]:
        score = explanation["without"][0]["scores"][scores[mention["start"], mention["end"], mention["type"]]]
        assert score == pytest.approx(mention["score"], abs=2e-4)
    for wrong in (b"ocr", b"ocr:x", b"ocr:0;", b"x" * 5000):
        assert server.ask(*post, ("without", wrong))[0] == 422


TEXTS = [
    "hi kim",
    "hi \U0001f600 lou and hi max",
    "x" * 2000,
    "zoe",
    "hi kim " * 100,
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 hi",
]


def without_noise(response: dict[str, Any]) -> dict[str, Any]:
    """Leave out the time, and allow scores the rounding of another batch."""
    spans = [{**span, "score": pytest.approx(span["score"], abs=2e-4)} for span in response["views"]["text"]]
    return {**response, "seconds": 0, "views": {**response["views"], "text": spans}}


def test_a_list_gets_the_responses_of_single_posts(server: Server):
    singles = [server.ask(("text", text.encode()))[1] for text in TEXTS]
    status, listed = server.ask_list([{"text": text} for text in TEXTS])
    assert status == 200, listed
    assert [response | {"seconds": 0} for response in listed] == [without_noise(single) for single in singles]
    with ThreadPoolExecutor(12) as clients:
        together = list(clients.map(lambda text: server.ask(("text", text.encode()))[1], TEXTS * 4))
    assert [response | {"seconds": 0} for response in together] == [without_noise(one) for one in singles * 4]


@pytest.mark.parametrize(
    ("posts", "status", "says"),
    [
        (b"[", 422, "invalid JSON"),
        (b"", 422, "invalid JSON"),
        (b"[" * 100_000, 422, "invalid JSON"),
        (b'[{"text": "\\ud800"}]', 422, "invalid JSON"),
        (b"9" * 5000, 422, "invalid JSON"),
        ([], 422, "at least 1 item"),
        ({"text": "hi"}, 422, "input should be a valid array"),
        (["hi"], 422, "0: input should be an object"),
        ([{"text": "hi"}, {"text": 1}], 422, "1: text: input should be a valid string"),
        ([{"text": "hi"}, {"text": "x" * 2001}], 422, "1: text: string should have at most 2000 characters"),
        ([{"text": "hi"}, {"text": " "}], 422, "1: text: the post has no words"),
        ([{"text": "hi", "image": "x.png"}], 422, "image: send the picture as a file"),
        ([{"text": "hi"}] * 65, 422, "at most 64 items"),
        ([{"text": "hi"}] * 200_000, 413, "a list of texts may have"),
    ],
)
def test_an_invalid_list_is_refused_with_a_reason(server: Server, posts: Any, status: int, says: str):
    got, response = server.ask_list(posts)
    assert got == status
    assert says in response["error"]
    assert len(response["error"]) < 1000


def test_a_client_that_leaves_within_a_list_is_no_error(server: Server):
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"POST /predict HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 99\r\n\r\n[".encode())
    assert server.ask_list([{"text": "hi kim"}])[0] == 200


@pytest.mark.parametrize(
    ("parts", "status", "says"),
    [
        ([], 422, "neither a text nor a picture"),
        ([("text", b"  \n ")], 422, "neither a text nor a picture"),
        ([("text", b"x" * 2001)], 422, "text: string should have at most 2000 characters"),
        ([("text", b"x" * 60_000)], 400, "maximum size"),
        ([("image", b"")], 422, "the picture cannot be read: not a picture"),
        ([("image", b"<svg/>")], 422, "not a picture in a supported format"),
        ([("image", b"1"), ("image", b"2")], 400, "too many files"),
        ([("image", bytes(27 * 1024 * 1024))], 413, "26 MB together"),
    ],
)
def test_an_invalid_form_is_refused_with_a_reason(server: Server, parts: list[Any], status: int, says: str):
    got, answer = server.ask(*parts)
    assert got == status
    assert says in answer["error"]


def test_other_sites_other_hosts_and_other_paths_are_refused(server: Server):
    assert server.ask(("text", b"hi"), Origin="https://evil.example")[0] == 403
    assert server.send("GET", "/", headers={"Host": "evil.example"})[0] == 421
    assert "use POST /predict" in server.send("GET", "/predict")[1]["error"]
    assert server.send("GET", "/docs")[0] == 404


def test_the_openapi_description_has_the_response_and_every_error(server: Server):
    _, description = server.send("GET", "/openapi.json")
    post = description["paths"]["/predict"]["post"]
    assert set(post["responses"]) >= {"200", "403", "408", "413", "421", "422", "503"}
    assert set(post["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    listed = post["requestBody"]["content"]["application/json"]["schema"]
    assert (listed["minItems"], listed["maxItems"], listed["items"]["required"]) == (1, 64, ["text"])
    answer = description["components"]["schemas"]["PredictResponse"]["properties"]
    fields = {"schema", "text", "views", "contexts", "context_names", "found", "explanation", "notes", "seconds"}
    assert set(answer) == fields
    assert set(description["components"]["schemas"]["Views"]["properties"]) == {"text", "text+image"}


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    """The page in a browser; whatever it complains of, or asks of anybody else, fails the test."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*as_root, "--disable-dev-shm-usage"])
        context = browser.new_context(viewport={"width": 400, "height": 800}, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((server.address, "data:", "blob:")) else complaints.append(asked.url)
            ),
        )
        page.goto(server.address)
        yield page
        browser.close()
    assert complaints == []


def test_the_page_shows_both_views_by_keyboard_alone(page: Page, server: Server):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    for _ in range(5):  # four examples, and then the text
        page.keyboard.press("Tab")
    page.keyboard.type("hi kim \u202e<b>evil</b>")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text(re.compile("entit"))
    text = page.locator("#answer dl.says dd").first
    # Any word may be marked, with a label behind it.
    words = text.evaluate(
        """element => {
            const copy = element.cloneNode(true);
            copy.querySelectorAll("small").forEach(label => label.remove());
            return copy.textContent;
        }"""
    )
    assert "".join(words.split()) == "hikim‹U+202E›<b>evil</b>"
    expect(text.locator("b")).to_have_count(0)
    expect(page.locator("#answer mark").first).to_contain_text("kim PER")
    expect(page.locator("#answer img")).to_have_count(0)
    page.locator("#picture").set_input_files(server.picture)
    expect(page.locator("#answer")).to_have_class("old")
    expect(page.locator("#preview")).to_be_visible()
    expect(page.get_by_role("link", name="Link to this text")).to_have_attribute(
        "href", re.compile("^#text=hi\\+kim")
    )
    page.get_by_role("button", name="Find entities").press("Enter")
    expect(page.locator("#answer .mark.word")).to_have_count(1)
    page.locator("#answer .mark.word").focus()
    expect(page.locator("#answer .told")).to_have_text(re.compile("word “MARLOW” "))
    expect(page.locator("#answer dd.context").last).to_have_text("MARLOW")
    page.locator("#answer .mark.word").press("Enter")
    expect(page.locator("#status")).to_have_text(re.compile("^without MARLOW: "))
    expect(page.get_by_role("button", name=re.compile("word “MARLOW”"), pressed=False)).to_be_focused()
    expect(page.locator("#answer dd.context", has_text="MARLOW")).to_have_count(0)
    page.get_by_role("checkbox", name="MARLOW").check()
    expect(page.locator("#status")).to_have_text(re.compile("^with MARLOW: "))
    expect(page.locator("#answer dd.context").last).to_have_text("MARLOW")
    expect(page.locator("#answer .worth tbody tr").first).to_contain_text("with all contexts")
    assert page.locator("#answer img").evaluate("image => image.naturalWidth") == 420
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("button", name="Remove picture").click()
    expect(page.locator("#picture")).to_be_focused()
    assert page.locator("#picture").input_value() == ""
    expect(page.locator("#preview")).to_be_hidden()
    expect(page.locator("#answer dl.says dt").first).to_have_text("text alone")
    page.goto(f"{server.address}#text=hi+%3Cb%3E")
    page.reload()
    expect(page.locator("#text")).to_have_value("hi <b>")


def test_a_test_post_is_an_example_that_one_click_fills_in(page: Page, server: Server):
    expect(page.locator("#example-list button")).to_have_count(4)
    page.get_by_role("button", name="hi max").click()
    expect(page.locator("#answer .mark.word")).to_have_count(1)
    expect(page.locator("#text")).to_have_value("hi max")
    assert page.locator("#answer img").evaluate("image => image.naturalWidth") == 420


def test_only_pictures_of_examples_are_sent(server: Server):
    with urlopen(f"{server.address}examples/0") as response:
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.read() == server.picture.read_bytes()
    for other in ("4", "-1", "..%2f..%2fetc%2fpasswd"):
        assert server.send("GET", f"/examples/{other}")[0] in (404, 422)


def test_a_dropped_picture_is_taken_and_an_empty_post_is_refused(page: Page, server: Server):
    page.evaluate(
        """() => {
            const carried = new DataTransfer();
            const name = '"><img src=x onerror=alert(1)>.png';
            carried.items.add(new File(["no picture"], name, { type: "image/png" }));
            for (const kind of ["dragover", "drop"]) {
                const told = { dataTransfer: carried, bubbles: true, cancelable: true };
                document.body.dispatchEvent(new DragEvent(kind, told));
            }
        }"""
    )
    assert page.locator("#picture").evaluate("chooser => chooser.files.length") == 1
    page.get_by_role("button", name="Remove picture").click()
    page.get_by_role("button", name="Find entities").click()
    expect(page.get_by_role("alert")).to_have_text("Type a tweet or drop a picture.")


def test_the_page_has_names_and_roles_for_screen_readers(page: Page):
    tree = page.locator("body").aria_snapshot()
    for line in (
        'heading "Try mine, run',
        'textbox "Tweet"',
        'button "Picture"',
        'button "Find entities"',
        "- status",
        'region "Use from a program"',
    ):
        assert line in tree, tree
