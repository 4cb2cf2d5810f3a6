from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.base import Failure, Postponed
from stages.llm.client import MAX_FAILURES, ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Message, Reply, Sampling, encode_image
from tests.support.chat_server import Act, Asked, Behaviour, ChatServer, echo, says, serving

KEY = "sk-secret-0123456789"


def client(server: ChatServer, **settings: Any) -> ChatClient:
    quick = {"back_off": 0.01, "read": 5.0, "total": 10.0, "tries": 3, **settings}
    return ChatClient(Endpoint(url=server.url, model="tiny", **quick), Sampling(max_tokens=20))


def question(text: str) -> list[Message]:
    return [Message("system", "Be short."), Message("user", text)]


def ask(behave: Behaviour, *texts: str, **settings: Any) -> list[Reply | Failure | Postponed]:
    with serving(behave) as server:
        return client(server, **settings).ask([question(text) for text in texts])


def first_then(act: Act, times: int = 1) -> Behaviour:
    """Misbehaves so many times, then answers well."""
    return lambda asked: act if asked.number < times else echo(asked)


def test_replies_come_in_order_however_long_each_takes() -> None:
    def behave(asked: Asked) -> Act:
        return Act(content=echo(asked).content, delay=0.05 if asked.text.endswith("0") else 0.0)

    texts = [f"post {n}" for n in range(40)]
    found = ask(behave, *texts, concurrency=8)
    assert [reply.text for reply in found if isinstance(reply, Reply)] == [f"about: {text}" for text in texts]
    first = found[0]
    assert isinstance(first, Reply)
    assert (first.model, first.finish) == ("tiny-chat-1", "stop")
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.estimated) == (11, 4, False)


def test_a_request_says_all_that_decides_the_answer_and_images_come_as_data() -> None:
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


def test_no_more_are_under_way_than_allowed() -> None:
    with serving(lambda asked: Act(content=echo(asked).content, delay=0.02)) as server:
        client(server, concurrency=3).ask([question(str(n)) for n in range(20)])
    assert server.most_under_way == 3


@pytest.mark.parametrize(
    "act",
    [
        Act(status=500, content=b"oops"),
        Act(status=503),
        Act(status=429, content=b'{"error": {"message": "slow down"}}', headers={"Retry-After": "0"}),
        Act(status=408),
        Act(drop=True),
        Act(content=says("cut off").content, cut=30),
        Act(content=b"<html>proxy</html>"),
        Act(content=b'{"error": {"message": "overloaded"}}'),
        Act(content=says("late").content, delay=1.0),
        Act(content=says("dripping").content, drip=0.2),
    ],
    ids=["500", "503", "429", "408", "drop", "cut", "nonsense", "error-in-200", "late", "drip"],
)
def test_what_passes_is_asked_again(act: Act) -> None:
    began = time.monotonic()
    (reply,) = ask(first_then(act), "x", read=0.4, total=0.6)
    assert isinstance(reply, Reply)
    assert reply.text == "about: x"
    assert reply.usage.requests == 2
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("act", "kind", "word"),
    [
        (Act(status=400, content=b'{"error": {"message": "too\\nlong"}}'), "permanent", "400: too long"),
        (Act(status=413), "permanent", "413"),
        (Act(content=b'{"text": "hello"}'), "permanent", "another form"),
        (Act(content=b"[]"), "permanent", "another form"),
        (Act(content=b'{"choices": []}'), "permanent", "another form"),
        (says(None, choices=[{"message": {"content": 7}}]), "permanent", "another form"),
        (Act(content=b"[" * 100_000), "transient", "no JSON"),
        (Act(content=b" " * 10_000_000), "permanent", "longer than"),
        (Act(content=says("x").content, headers={"Content-Encoding": "gzip"}), "transient", "no JSON"),
        (says(""), "transient", "no text"),
        (says(" \n\u200b…"), "transient", "no text"),
        (says(None), "transient", "no text"),
        (says(None, choices=[{"message": {"refusal": "no"}}]), "permanent", "refused"),
        (Act(status=500, content=b'{"detail": "cuda"}'), "transient", "500: cuda"),
        (Act(content=b"\xff\xfe"), "transient", "no JSON"),
    ],
    ids=[
        *("400", "413", "schema", "list", "no-choices", "number", "deep", "10-MB", "packed", "empty", "invisible"),
        *("null", "refusal", "500", "binary"),
    ],
)
def test_what_does_not_pass_is_a_failure_and_never_a_text(act: Act, kind: str, word: str) -> None:
    (failure,) = ask(lambda asked: act, "x", concurrency=1)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert word in failure.reason


def test_one_bad_question_does_not_hurt_its_neighbours() -> None:
    def behave(asked: Asked) -> Act:
        return Act(status=500) if asked.text == "3" else echo(asked)

    found = ask(behave, *map(str, range(12)), concurrency=4)
    assert [type(outcome) for outcome in found].count(Reply) == 11
    assert isinstance(found[3], Failure)


def test_a_server_that_hangs_stops_the_client() -> None:
    began = time.monotonic()
    found = ask(lambda asked: Act(delay=60), *map(str, range(50)), read=0.2, total=0.3, tries=2)
    assert all(isinstance(outcome, Postponed) and outcome.broken for outcome in found)
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_stops_the_client() -> None:
    with serving() as server:
        asker = client(server)
    found = asker.ask([question(str(n)) for n in range(50)])
    assert len(found) == 50
    assert all(isinstance(outcome, Postponed) and outcome.broken for outcome in found)
    assert "does not answer" in str(found[0])


def test_a_server_that_dies_half_way_postpones_the_rest_and_can_be_resumed() -> None:
    texts = [str(n) for n in range(30)]

    def behave(asked: Asked) -> Act:
        return Act(status=503) if asked.number >= 10 else echo(asked)

    found = ask(behave, *texts, concurrency=4)
    done = [n for n, outcome in enumerate(found) if isinstance(outcome, Reply)]
    rest = [texts[n] for n, outcome in enumerate(found) if isinstance(outcome, Postponed)]
    assert len(done) == 10
    assert len(rest) == 20
    assert all(isinstance(outcome, Reply) for outcome in ask(echo, *rest))


def test_a_question_under_way_when_the_server_died_is_not_to_blame() -> None:
    def behave(asked: Asked) -> Act:
        if asked.number == 0:
            return echo(asked)
        if asked.number == 3:
            server.socket.close()
        return Act(drop=True)

    with serving(behave) as server:
        found = client(server, tries=3, concurrency=1).ask([question(str(n)) for n in range(3)])
    assert [type(outcome) for outcome in found] == [Reply, Postponed, Postponed]


def test_a_question_that_breaks_the_answer_is_to_blame_while_others_are_answered() -> None:
    def behave(asked: Asked) -> Act:
        return Act(drop=True) if asked.text == "1" else echo(asked)

    found = ask(behave, "0", "1", "2", tries=3, concurrency=1)
    assert [type(outcome) for outcome in found] == [Reply, Failure, Reply]


def test_a_server_that_is_of_no_use_to_anybody_is_left_alone() -> None:
    with serving(lambda asked: Act(status=500)) as server:
        found = client(server, tries=1, concurrency=1).ask([question(str(n)) for n in range(40)])
    assert len(server.asked) == MAX_FAILURES
    assert [type(outcome) for outcome in found] == [Failure] * MAX_FAILURES + [Postponed] * (40 - MAX_FAILURES)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_an_endpoint_that_refuses_stops_the_client_at_once(status: int) -> None:
    with serving(lambda asked: Act(status=status)) as server:
        found = client(server, concurrency=2).ask([question(str(n)) for n in range(20)])
    assert len(server.asked) <= 2
    assert all(isinstance(outcome, Postponed) and outcome.broken and outcome.hint for outcome in found)


def test_retry_after_is_waited_for_by_everybody() -> None:
    def behave(asked: Asked) -> Act:
        return Act(status=429, headers={"Retry-After": "1"}) if asked.number == 0 else echo(asked)

    with serving(behave) as server:
        found = client(server, concurrency=1).ask([question(str(n)) for n in range(3)])
    assert all(isinstance(outcome, Reply) for outcome in found)
    assert server.asked[1].at - server.asked[0].at >= 1.0


def test_many_wait_for_a_server_that_answers_a_few_at_a_time() -> None:
    """A rate limit costs no item its tries as long as somebody is answered."""

    def behave(asked: Asked) -> Act:
        return echo(asked) if asked.number % 5 == 4 else Act(status=429, headers={"Retry-After": "0.01"})

    found = ask(behave, *map(str, range(20)), concurrency=10, tries=4)
    assert all(isinstance(outcome, Reply) for outcome in found)


def test_a_longer_wait_than_allowed_ends_the_run_and_nobody_knocks_again() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    with serving(lambda asked: Act(status=429, headers={"Retry-After": date})) as server:
        found = client(server, concurrency=2, longest_wait=30).ask([question(str(n)) for n in range(20)])
    assert len(server.asked) <= 2
    assert all(isinstance(outcome, Postponed) for outcome in found)
    assert "left alone" in str(found[0])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_to_another_host_is_followed(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITA_API_KEY", KEY)
    with serving() as other:
        target = other.url.replace("127.0.0.1", "localhost") + "/chat/completions"
        with serving(lambda asked: Act(status=status, headers={"Location": target})) as server:
            (found,) = client(server).ask([question("x")])
        assert other.asked == []
    assert isinstance(found, Postponed)
    assert found.broken
    assert "redirects to" in found.reason


def test_a_redirect_within_the_server_is_followed_and_a_circle_is_not() -> None:
    def moved(asked: Asked) -> Act:
        return echo(asked) if asked.path == "/v2" else Act(status=308, headers={"Location": "/v2"})

    (reply,) = ask(moved, "x")
    assert isinstance(reply, Reply)
    (circle,) = ask(lambda asked: Act(status=307, headers={"Location": asked.path}), "x")
    assert isinstance(circle, Postponed)


def test_the_key_goes_to_the_server_and_nowhere_else(
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


def test_requests_beyond_the_budget_are_not_made() -> None:
    with serving() as server:
        asker = client(server, max_requests=7)
        first = asker.ask([question(str(n)) for n in range(5)])
        second = asker.ask([question(str(n)) for n in range(5)])
    assert len(server.asked) == 7
    assert [type(outcome) for outcome in first] == [Reply] * 5
    assert [type(outcome) for outcome in second].count(Reply) == 2
    left = [outcome for outcome in second if isinstance(outcome, Postponed)]
    assert len(left) == 3
    assert not any(outcome.broken for outcome in left)
    assert "--max-requests" in left[0].reason


def test_requests_tried_again_count() -> None:
    with serving(lambda asked: Act(status=500)) as server:
        (found,) = client(server, max_requests=2, tries=9).ask([question("x")])
    assert len(server.asked) == 2
    assert isinstance(found, Postponed)


@settings(max_examples=15, deadline=None)
@given(limit=st.integers(0, 600), width=st.integers(1, 8))
def test_tokens_never_go_beyond_the_budget(limit: int, width: int) -> None:
    found = ask(echo, *map(str, range(12)), max_tokens=limit, concurrency=width)
    used = sum(outcome.usage.tokens for outcome in found if isinstance(outcome, Reply))
    assert used <= limit
    assert all(isinstance(outcome, Reply | Postponed) for outcome in found)
    # Where there was room for one more, it was asked.
    assert limit - used < 60 or all(isinstance(outcome, Reply) for outcome in found)


def test_tokens_that_a_server_does_not_count_are_estimated_and_said_to_be() -> None:
    (reply,) = ask(lambda asked: says("four words are here", usage=None), "x")
    assert isinstance(reply, Reply)
    assert reply.usage.estimated
    assert reply.usage.completion_tokens >= 4
