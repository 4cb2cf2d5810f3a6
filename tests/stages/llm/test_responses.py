"""Responses of a server: unusable ones are failures, and `Retry-After` is a time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import Failure
from stages.llm.messages import Reply
from stages.llm.responses import parse_retry_after
from tests.support.chat_server import Act, says
from tests.support.chats import ask

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("0.5", 0.5),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 03:00:05 GMT", 0.0),
        ("Friday, 02-Jan-26 03:05:05 GMT", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=NOW) == seconds


def test_a_date_refers_to_the_clock_of_the_server() -> None:
    assert parse_retry_after("Fri, 02 Jan 2026 03:05:05 GMT", "Fri, 02 Jan 2026 03:05:00 GMT", NOW) == 5.0


@given(header=st.text(max_size=40))
def test_any_retry_after_is_accepted(header: str) -> None:
    found = parse_retry_after(header)
    assert found is None or found >= 0


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
def test_an_unusable_response_is_a_failure(act: Act, kind: str, word: str) -> None:
    (failure,) = ask(lambda asked: act, "x", concurrency=1)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert word in failure.reason


def test_tokens_are_estimated_if_the_server_does_not_count() -> None:
    (reply,) = ask(lambda asked: says("four words are here", usage=None), "x")
    assert isinstance(reply, Reply)
    assert reply.usage.estimated
    assert reply.usage.completion_tokens >= 4
