"""Untrusted runs, presets and folders cannot give consent, name an API key, or cause anything to be sent."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ita_pipeline as ita
from ita_pipeline.core.errors import UsageError, UserError
from ita_pipeline.core.trust import add_trust, place_of
from stages.base import StageError
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Sampling
from stages.llm.transport import ChatTransport
from tests.support.chat_server import Act, ChatServer, serving
from tests.support.fakes import Answer, draw, ita_here
from tests.support.trained_run import trained as trained  # a fixture

SECRETS = {"MY_CLOUD_SECRET": "sk-cloud-secret", "ITA_API_KEY": "sk-api-secret"}

POST = ita.Post.from_text("hi kim")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serving() as server:
        yield server


def greedy(server: ChatServer) -> dict[str, Any]:
    """Settings of the stage `knowledge` that claim everything."""
    return {"endpoint": server.url, "model": "m", "consent": True, "key_variable": "MY_CLOUD_SECRET", "tries": 1}


@pytest.fixture
def run(trained: Path, tmp_path: Path, server: ChatServer) -> Path:
    """A stranger's run that wants posts and a key on another address."""
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    change_record(folder, greedy(server))
    return folder


def change_record(folder: Path, knowledge: Mapping[str, Any]) -> None:
    record = json.loads((folder / "run.json").read_text())
    record["stages"]["knowledge"] = knowledge
    record["contexts"]["order"] = [*record["contexts"]["order"], "knowledge"]
    (folder / "run.json").write_text(json.dumps(record))


def place(server: ChatServer) -> str:
    return f"127.0.0.1:{server.server_address[1]}"


def keys_sent(server: ChatServer) -> list[str]:
    return [asked.headers["authorization"] for asked in server.asked if "authorization" in asked.headers]


def predict(run: Path, *more: str, **environment: str) -> Answer:
    return ita_here("predict", run, "--text", "hi kim", *more, **environment)


def test_a_run_sends_nothing_without_consent(run: Path, server: ChatServer):
    answer = predict(run)
    assert (answer.code, server.asked) == (2, [])
    assert f"1 tweets go to {place(server)}, an address that your own settings do not name" in answer.err
    assert f"hint: --yes agrees for this command, ita config trust {place(server)} for good" in answer.err
    for name in ("consent", "key_variable"):
        assert f"run.json: knowledge.{name} is ignored" in answer.err


def test_trust_sends_the_post_and_no_key(run: Path, server: ChatServer):
    assert ita_here("config", "trust", place(server)).code == 0
    answer = predict(run)
    assert (answer.code, len(server.asked), keys_sent(server)) == (0, 1, []), answer.err
    assert f"the key in ITA_API_KEY is not sent; ita config trust {place(server)} --key" in answer.err
    assert ita_here("config", "trust", "--remove", place(server)).code == 0
    assert ita_here("predict", run, "--text", "hi lou").code == 2
    assert len(server.asked) == 1


def test_yes_sends_the_post_and_no_key(run: Path, server: ChatServer):
    assert predict(run, "--yes").code == 0
    assert (len(server.asked), keys_sent(server)) == (1, [])


def test_a_server_that_demands_a_key_gets_none_and_the_hint_names_the_command(run: Path, server: ChatServer):
    server.behave = lambda asked: Act(status=401)
    answer = predict(run, "--yes")
    assert (answer.code, keys_sent(server)) == (3, [])
    assert (
        f"hint: no key was sent, as you did not name this address; ita config trust {place(server)} --key"
        in answer.err
    )


def test_a_key_is_sent_only_to_a_host_that_the_user_named_for_it(run: Path, server: ChatServer):
    add_trust(place(server), key=True)
    assert predict(run).code == 0
    assert keys_sent(server) == ["Bearer sk-api-secret"]


def test_an_address_of_the_users_own_needs_no_consent_on_this_machine(run: Path, server: ChatServer):
    own = {"ITA_KNOWLEDGE__ENDPOINT": server.url, "ITA_KNOWLEDGE__KEY_VARIABLE": "MY_CLOUD_SECRET"}
    assert predict(run, **own).code == 0
    assert keys_sent(server) == ["Bearer sk-cloud-secret"]


def test_a_users_consent_is_for_the_address_beside_it(run: Path, server: ChatServer, tmp_path: Path):
    own = tmp_path / ".config/ita/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("knowledge: {consent: true}\n")
    assert predict(run).code == 2
    assert predict(run, ITA_KNOWLEDGE__CONSENT="true").code == 2
    assert server.asked == []


def test_python_sends_nothing_unless_the_question_is_answered(run: Path, server: ChatServer):
    with pytest.raises(UsageError, match="you have not agreed"):
        ita.load(run).predict([POST])
    questions: list[str] = []
    answers = iter([True, False])

    def confirm(question: str) -> bool:
        questions.append(question)
        return next(answers)

    ita.load(run, confirm=confirm).predict([POST])
    assert questions == [f"send them to {place(server)}?", f"send the key in ITA_API_KEY to {place(server)} too?"]
    assert (len(server.asked), keys_sent(server)) == (1, [])


def test_an_export_sends_nothing_either(run: Path, server: ChatServer):
    exported = Path("exported")
    ita.model_export.export_model(run, exported)
    change_record(exported, greedy(server))
    assert predict(exported).code == 2
    assert server.asked == []


WORDS = [
    "trusted.org",
    "evil.example",
    "@",
    "\\",
    "/",
    "#",
    "?",
    ":",
    "443",
    "80",
    "[",
    "]",
    "[::1]",
    "%2e",
    ".",
    "\t",
    "\n",
    "。",
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map("".join))
def test_a_request_goes_to_the_host_that_was_agreed_to_however_its_address_is_written(address: str):
    url = f"http://{address}"
    try:
        host = place_of(url)
        sent_to = ChatTransport(Endpoint(url=url, model="m", suggested=True, consent=True), Sampling()).url
    except (UserError, StageError):
        return
    assert place_of(f"http://{sent_to.netloc.decode()}") == host


def write_posts() -> None:
    Path("posts.jsonl").write_text('{"id": "1", "text": "hi kim"}\n')


def test_a_folder_cannot_consent_for_whoever_works_in_it(server: ChatServer):
    write_posts()
    Path("ita.yaml").write_text(yaml.safe_dump({"preset": "bundled", "knowledge": greedy(server)}))
    command = ("extract", "posts.jsonl", "--stage", "knowledge")
    answer = ita_here(*command)
    assert (answer.code, server.asked) == (2, [])
    assert (
        answer.err.count("ita.yaml: knowledge.consent is ignored, since only you can decide that; ita config") == 1
    )
    add_trust(place(server))
    assert ita_here(*command).code == 0
    assert (len(server.asked), keys_sent(server)) == (1, [])


def test_a_preset_cannot_consent(server: ChatServer):
    write_posts()
    preset = {"about": "x", "encoder": "minilm", "stages": {"knowledge": greedy(server)}}
    Path("strange.yaml").write_text(yaml.safe_dump(preset))
    command = ("extract", "posts.jsonl", "--preset", "strange.yaml")
    answer = ita_here(*command)
    assert (answer.code, server.asked) == (2, [])
    assert "strange.yaml: knowledge.key_variable is ignored" in answer.err
    assert ita_here(*command, "--yes").code == 0
    assert (len(server.asked), keys_sent(server)) == (1, [])


def test_a_folder_cannot_turn_the_users_own_consent_to_another_host(server: ChatServer, tmp_path: Path):
    write_posts()
    own = tmp_path / ".config/ita/config.yaml"
    own.parent.mkdir(parents=True)
    mine = {"endpoint": "https://192.0.2.1/v1", "model": "m", "consent": True, "key_variable": "MY_CLOUD_SECRET"}
    own.write_text(yaml.safe_dump({"knowledge": mine}))
    Path("ita.yaml").write_text(yaml.safe_dump({"preset": "bundled", "knowledge": {"endpoint": server.url}}))
    assert ita_here("extract", "posts.jsonl", "--stage", "knowledge").code == 2
    assert server.asked == []


@contextmanager
def counting_requests() -> Iterator[ThreadingHTTPServer]:
    """Yield a web server that has nothing, and counts in `paths` what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vars(server)["paths"] = paths
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_folder_cannot_have_records_fetched_from_a_server():
    draw(Path("images/a.png"))
    command = ("extract", "images", "--preset", "bundled", "--stage", "ocr")
    with counting_requests() as web:
        paths, address = vars(web)["paths"], f"http://127.0.0.1:{web.server_address[1]}/cache"
        Path("ita.yaml").write_text(f"shared: {address}\n")
        answer = ita_here(*command)
        assert (answer.code, paths) == (0, []), answer.err
        assert f"ita.yaml: the shared cache {address} is not used, as you have not agreed to it" in answer.err
        refused = ita_here("cache", "pull")
        assert (refused.code, paths) == (2, [])
        assert f"hint: ita config trust 127.0.0.1:{web.server_address[1]}" in refused.err
        add_trust(address)
        ita_here(*command)
        assert paths


def test_a_folder_cannot_have_records_put_elsewhere(tmp_path: Path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    draw(project / "images/a.png")
    command = ("extract", "images", "--preset", "bundled", "--stage", "ocr")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        Path("ita.yaml").write_text("shared: ../elsewhere\n")
        assert ita_here(*command).code == 0
        assert not elsewhere.exists()
        add_trust("../elsewhere")
        assert ita_here(*command).code == 0
    assert len(list(elsewhere.glob("ocr/*/*.jsonl"))) == 1
