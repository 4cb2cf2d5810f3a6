"""`ita demo` as it runs: a real server, real stages, a real browser, and a crowd."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect, sync_playwright

import ita_pipeline as ita
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.server.serve import bind_socket, check_installed
from tests.support.browsers import CHROMIUM, NO_BROWSER
from tests.support.fakes import ita as command
from tests.support.fakes import ita_here
from tests.support.hostile import harmful
from tests.support.tiny_encoder import build_bert

PATIENCE = 30_000  # milliseconds
RATES = [f"--set=training.{name}=0.01" for name in ("learning_rate", "linear_learning_rate", "crf_learning_rate")]
BOUNDARY = "a-boundary-of-parts"


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    address: str
    run: Path
    picture: Path

    def ask(self, *parts: tuple[str, bytes], **headers: str) -> tuple[int, Any]:
        """Post parts of a form; one called image is a file."""
        body = b"".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
            + (b'; filename="x.png"' if name == "image" else b"")
            + b"\r\n\r\n"
            + content
            + b"\r\n"
            for name, content in parts
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", "/predict", body + f"--{BOUNDARY}--\r\n".encode(), {**kind, **named})

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def memory(self) -> int:
        """Bytes of the server and of its stages' processes."""
        server_process = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [server_process, *server_process.children(recursive=True)])


def sign(path: Path) -> Path:
    """A picture with a word to read and a person's shape, as far as a small detector is concerned."""
    picture = Image.new("RGB", (420, 160), "white")
    ImageDraw.Draw(picture).text((30, 40), "MARLOW", fill="black", font_size=80)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def train(root: Path) -> Path:
    """A run of the bundled stages and a tiny encoder, which learns that what comes after hi is a person."""
    build_bert(root / "bert")
    sign(root / "mine" / "sign.png")
    names = ["kim", "lou", "max", "zoe"]
    lines = [
        {
            "text": f"hi {name}",
            "split": split,
            "image": "sign.png",
            "mentions": [{"start": 3, "end": 3 + len(name), "type": "PER"}],
        }
        for split in ("train", "dev", "test")
        for name in names * (4 if split == "train" else 1)
    ]
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = ("--preset", "bundled", "--encoder", "bert", "--set=training.epochs=8", *RATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        answer = ita_here("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    (run,) = (root / "runs" / "mine").iterdir()
    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("demo")
    run = train(root)
    # The name of the dataset stands for its only run; the workspace is elsewhere than the current folder.
    program = [str(Path(sys.executable).parent / "ita"), "demo", "mine", "--port", "0", "--workspace", str(root)]
    with (
        (root / "err.txt").open("w") as err,
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=err, text=True, cwd=root) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, (root / "err.txt").read_text()
        yield Server(process, address, run, root / "mine" / "sign.png")
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
    messages = (root / "err.txt").read_text().splitlines()
    assert code == 130
    assert messages[-2:] == [
        "stopped; nothing of what was typed or dropped is kept",
        f"hint: start it again with: ita {' '.join(program[1:])}",
    ]
    assert not [line for line in messages if "Traceback" in line]


def test_a_post_is_answered_as_ita_predict_answers_it(server: Server):
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


def test_either_may_be_missing(server: Server):
    _, alone = server.ask(("text", "hi \U0001f600 kim".encode()))
    assert (alone["views"]["text+image"], alone["found"], alone["contexts"]) == (None, None, [])
    assert alone["text"] == "hi \U0001f600 kim"
    status, pictured = server.ask(("image", server.picture.read_bytes()))
    assert (status, pictured["views"]) == (200, {"text": [], "text+image": []})
    assert "MARLOW" in pictured["contexts"]


def test_nothing_of_a_visitors_picture_is_kept(server: Server):
    content = server.picture.read_bytes() + b"never seen before"
    assert server.ask(("image", content))[0] == 200
    kept = [
        path
        for path in server.run.parents[2].rglob("*")
        if path.is_file() and path.stat().st_mtime > time.time() - 5
    ]
    assert [path for path in kept if ".ita" in path.parts] == []
    assert not [path for folder in Path("/tmp").glob("ita-demo-*") for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("parts", "status", "says"),
    [
        ([], 422, "neither a text nor a picture"),
        ([("text", b"  \n ")], 422, "neither a text nor a picture"),
        ([("text", b"x" * 2001)], 422, "text: string should have at most 2000 characters"),
        ([("text", b"x" * 60_000)], 400, "maximum size"),
        ([("image", b"")], 422, "the picture cannot be read: not a picture"),
        ([("image", b"<svg/>")], 422, "not a picture of a known format"),
        ([("image", b"1"), ("image", b"2")], 400, "too many files"),
        ([("image", bytes(27 * 1024 * 1024))], 413, "26 MB together"),
    ],
)
def test_what_cannot_be_answered_gets_a_sentence(server: Server, parts: list[Any], status: int, says: str):
    got, answer = server.ask(*parts)
    assert got == status
    assert says in answer["error"]


def test_hostile_pictures_get_a_sentence_too_and_the_next_post_its_answer(server: Server):
    for name, content in harmful(1).items():
        status, answer = server.ask(("text", b"hi"), ("image", content))
        assert (status, answer.get("error", "")[:26]) == (422, "the picture cannot be read"), name
    assert server.ask(("text", b"hi kim"))[0] == 200


def test_other_sites_and_other_names_are_refused(server: Server):
    assert server.ask(("text", b"hi"), Origin="https://evil.example")[0] == 403
    assert server.send("GET", "/", headers={"Host": "evil.example"})[0] == 421
    assert "POST /predict answers" in server.send("GET", "/predict")[1]["error"]
    assert server.send("GET", "/docs")[0] == 404


def test_its_description_has_the_answer_and_every_refusal(server: Server):
    _, description = server.send("GET", "/openapi.json")
    post = description["paths"]["/predict"]["post"]
    assert set(post["responses"]) >= {"200", "403", "408", "413", "421", "422", "503"}
    assert set(post["requestBody"]["content"]) == {"multipart/form-data"}
    answer = description["components"]["schemas"]["PredictResponse"]["properties"]
    assert set(answer) == {"schema", "text", "views", "contexts", "found", "notes", "seconds"}
    assert set(description["components"]["schemas"]["Views"]["properties"]) == {"text", "text+image"}


def test_a_crowd_is_answered_and_memory_stays(server: Server):
    """200 posts from 16 clients; each tenth has a picture that was not seen before."""
    picture = server.picture.read_bytes()

    def one(number: int) -> int:
        image = [picture, picture + str(number).encode()][number % 10 == 0]
        parts = [("text", f"hi kim, number {number}".encode())]
        return server.ask(*parts, *([("image", image)] if number % 2 == 0 else []))[0]

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(one, range(80))) == {200}
        before = server.memory()
        assert set(clients.map(one, range(1000, 1200))) == {200}
    assert server.memory() < 1.05 * before + 8 * 1024**2


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
    expect(page.get_by_role("link", name="To the answer")).to_be_focused()
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
    page.get_by_role("button", name="Find entities").press("Enter")
    expect(page.locator("#answer .mark.word")).to_have_count(1)
    page.locator("#answer .mark.word").focus()
    expect(page.locator("#answer .told")).to_have_text(re.compile("word “MARLOW” "))
    expect(page.locator("#answer dd.context").last).to_have_text("MARLOW")
    assert page.locator("#answer img").evaluate("image => image.naturalWidth") == 420
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("button", name="Without the picture").click()
    expect(page.locator("#picture")).to_be_focused()
    assert page.locator("#picture").input_value() == ""


def test_a_dropped_picture_and_a_refusal(page: Page, server: Server):
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
    page.get_by_role("button", name="Without the picture").click()
    page.get_by_role("button", name="Find entities").click()
    expect(page.get_by_role("alert")).to_have_text("Type a tweet, or drop a picture.")


def test_a_screen_reader_finds_its_way(page: Page):
    tree = page.locator("body").aria_snapshot()
    for line in (
        'heading "Try mine, run',
        'textbox "Tweet"',
        'button "Picture"',
        'button "Find entities"',
        "- status",
        'region "From a program"',
    ):
        assert line in tree, tree


def test_what_is_missing_is_a_sentence(server: Server, monkeypatch: pytest.MonkeyPatch):
    port = str(urlsplit(server.address).port)
    answer = ita_here("demo", server.run, "--port", port)
    assert (answer.code, answer.out) == (2, "")
    assert f"the demo cannot listen at 127.0.0.1, port {port}: address already in use" in answer.err
    assert "--port 0" in answer.err
    assert ita_here("demo", "nothing").code == 3
    with pytest.raises(UsageError, match="cannot listen at no such host"):
        bind_socket("no such host", 0)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingError, match="the demo needs uvicorn") as caught:
        check_installed()
    assert caught.value.hint == "pip install 'ita-pipeline[demo]'"


def test_help_says_how(server: Server):
    answer = command("demo", "--help")
    assert answer.code == 0
    assert "ita demo example --open" in answer.out
