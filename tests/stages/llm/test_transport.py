"""Requests to an endpoint: their content, redirects, and the API key."""

from __future__ import annotations

import json
import logging

import pytest
from PIL import Image

from stages.base import Failure, Postponed
from stages.llm.messages import Message, Reply, encode_image
from tests.support.chat_server import Act, Asked, echo, says, serving
from tests.support.chats import ask, client, question

KEY = "sk-secret-0123456789"


def test_a_request_has_all_settings_and_images_as_data_urls() -> None:
    picture = encode_image(Image.new("RGBA", (2000, 1000), "red"), 100)
    with serving() as server:
        asker = client(server, extra={"seed": None, "top_k": 1})
        asker.ask([[Message("user", "what is this?", (picture,))]])
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "tiny",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": picture}},
                    {"type": "text", "text": "what is this?"},
                ],
            }
        ],
        "max_tokens": 20,
        "temperature": 0.0,
        "top_k": 1,
        "stream": False,
    }
    assert picture.startswith("data:image/jpeg;base64,")
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITA_API_KEY", KEY)
    with serving() as other:
        target = other.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        with serving(lambda asked: Act(status=status, headers={"Location": target})) as server:
            (found,) = client(server).ask([question("x")])
        assert other.asked == []
    assert isinstance(found, Postponed)
    assert found.broken
    assert "redirects to" in found.reason


def test_a_redirect_within_the_server_is_followed_except_in_a_loop() -> None:
    def moved(asked: Asked) -> Act:
        return echo(asked) if asked.path == "/v2" else Act(status=308, headers={"Location": "/v2"})

    (reply,) = ask(moved, "x")
    assert isinstance(reply, Reply)
    (circle,) = ask(lambda asked: Act(status=307, headers={"Location": asked.path}), "x")
    assert isinstance(circle, Postponed)


def test_the_api_key_is_sent_to_the_server_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITA_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def behave(asked: Asked) -> Act:
        sent = asked.headers["authorization"]
        error = json.dumps({"error": {"message": f"what is {sent}?"}}).encode()
        return [says(f"you said {sent}"), Act(status=400, content=error), Act(status=401, content=error)][
            asked.number
        ]

    with serving(behave) as server:
        asker = client(server, concurrency=1)
        found = asker.ask([question("a"), question("b"), question("c")])
    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {KEY}"] * 3
    assert [type(outcome) for outcome in found] == [Reply, Failure, Postponed]
    told = "".join([str(found), repr(asker.endpoint), caplog.text, *capfd.readouterr()])
    assert "[key]" in told
    assert KEY not in told
