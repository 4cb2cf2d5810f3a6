from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.base import Failure, Postponed
from stages.llm.client import MAX_FAILURES, ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Reply, Sampling
from tests.support.chat_server import Act, Asked, echo, says, serving
from tests.support.chats import ask, client, first_then, question
from tests.support.dripping_server import DRIPS, dripping


def test_replies_are_in_order() -> None:
    def behave(asked: Asked) -> Act:
        return Act(content=echo(asked).content, delay=0.05 if asked.text.endswith("0") else 0.0)

    texts = [f"post {n}" for n in range(40)]
    found = ask(behave, *texts, concurrency=8)
    assert [reply.text for reply in found if isinstance(reply, Reply)] == [f"about: {text}" for text in texts]
    first = found[0]
    assert isinstance(first, Reply)
    assert (first.model, first.finish) == ("tiny-chat-1", "stop")
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.estimated) == (11, 4, False)


def test_concurrent_requests_are_limited() -> None:
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
def test_a_temporary_error_is_retried(act: Act) -> None:
    began = time.monotonic()
    (reply,) = ask(first_then(act), "x", read=0.4, total=0.6)
    assert isinstance(reply, Reply)
    assert reply.text == "about: x"
    assert reply.usage.requests == 2
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("name", DRIPS)
def test_an_endpoint_that_drips_for_ever_is_given_up(name: str) -> None:
    start = time.monotonic()
    with dripping(name) as url:
        endpoint = Endpoint(url=f"{url}/v1", model="tiny", back_off=0.01, total=0.3, tries=2)
        (outcome,) = ChatClient(endpoint, Sampling()).ask([question("x")])
    assert isinstance(outcome, Postponed)
    assert outcome.reason == "no whole answer within 0.3 s"
    assert time.monotonic() - start < 30


def test_a_failed_question_does_not_affect_others() -> None:
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


def test_a_server_that_is_not_running_stops_the_client() -> None:
    with serving() as server:
        asker = client(server)
    found = asker.ask([question(str(n)) for n in range(50)])
    assert len(found) == 50
    assert all(isinstance(outcome, Postponed) and outcome.broken for outcome in found)
    assert "does not answer" in str(found[0])


def test_questions_after_a_server_failure_are_postponed_and_can_be_resumed() -> None:
    texts = [str(n) for n in range(30)]

    def behave(asked: Asked) -> Act:
        return Act(status=503) if asked.number >= 10 else echo(asked)

    found = ask(behave, *texts, concurrency=4)
    done = [n for n, outcome in enumerate(found) if isinstance(outcome, Reply)]
    rest = [texts[n] for n, outcome in enumerate(found) if isinstance(outcome, Postponed)]
    assert len(done) == 10
    assert len(rest) == 20
    assert all(isinstance(outcome, Reply) for outcome in ask(echo, *rest))


def test_a_request_in_flight_when_the_server_stops_is_postponed() -> None:
    def behave(asked: Asked) -> Act:
        if asked.number == 0:
            return echo(asked)
        if asked.number == 3:
            server.socket.close()
        return Act(drop=True)

    with serving(behave) as server:
        found = client(server, tries=3, concurrency=1).ask([question(str(n)) for n in range(3)])
    assert [type(outcome) for outcome in found] == [Reply, Postponed, Postponed]


def test_a_question_that_breaks_the_connection_fails_while_others_are_answered() -> None:
    def behave(asked: Asked) -> Act:
        return Act(drop=True) if asked.text == "1" else echo(asked)

    found = ask(behave, "0", "1", "2", tries=3, concurrency=1)
    assert [type(outcome) for outcome in found] == [Reply, Failure, Reply]


def test_many_failures_in_a_row_stop_the_client() -> None:
    with serving(lambda asked: Act(status=500)) as server:
        found = client(server, tries=1, concurrency=1).ask([question(str(n)) for n in range(40)])
    assert len(server.asked) == MAX_FAILURES
    assert [type(outcome) for outcome in found] == [Failure] * MAX_FAILURES + [Postponed] * (40 - MAX_FAILURES)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_refusal_by_the_endpoint_stops_the_client(status: int) -> None:
    with serving(lambda asked: Act(status=status)) as server:
        found = client(server, concurrency=2).ask([question(str(n)) for n in range(20)])
    assert len(server.asked) <= 2
    assert all(isinstance(outcome, Postponed) and outcome.broken and outcome.hint for outcome in found)


def test_all_questions_wait_for_retry_after() -> None:
    def behave(asked: Asked) -> Act:
        return Act(status=429, headers={"Retry-After": "1"}) if asked.number == 0 else echo(asked)

    with serving(behave) as server:
        found = client(server, concurrency=1).ask([question(str(n)) for n in range(3)])
    assert all(isinstance(outcome, Reply) for outcome in found)
    assert server.asked[1].at - server.asked[0].at >= 1.0


def test_a_rate_limit_fails_no_question_while_others_are_answered() -> None:
    """A rate limit costs no item its tries as long as somebody is answered."""

    def behave(asked: Asked) -> Act:
        return echo(asked) if asked.number % 5 == 4 else Act(status=429, headers={"Retry-After": "0.01"})

    found = ask(behave, *map(str, range(20)), concurrency=10, tries=4)
    assert all(isinstance(outcome, Reply) for outcome in found)


def test_a_longer_retry_after_than_allowed_stops_the_client() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    with serving(lambda asked: Act(status=429, headers={"Retry-After": date})) as server:
        found = client(server, concurrency=2, longest_wait=30).ask([question(str(n)) for n in range(20)])
    assert len(server.asked) <= 2
    assert all(isinstance(outcome, Postponed) for outcome in found)
    assert "left alone" in str(found[0])


def test_requests_stay_within_the_budget() -> None:
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


def test_retries_count_toward_the_budget() -> None:
    with serving(lambda asked: Act(status=500)) as server:
        (found,) = client(server, max_requests=2, tries=9).ask([question("x")])
    assert len(server.asked) == 2
    assert isinstance(found, Postponed)


@settings(max_examples=15, deadline=None)
@given(limit=st.integers(0, 600), width=st.integers(1, 8))
def test_tokens_stay_within_the_budget(limit: int, width: int) -> None:
    found = ask(echo, *map(str, range(12)), max_tokens=limit, concurrency=width)
    used = sum(outcome.usage.tokens for outcome in found if isinstance(outcome, Reply))
    assert used <= limit
    assert all(isinstance(outcome, Reply | Postponed) for outcome in found)
    # Where there was room for one more, it was asked.
    assert limit - used < 60 or all(isinstance(outcome, Reply) for outcome in found)
