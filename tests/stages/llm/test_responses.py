"""Responses of a server: unusable ones are failures, and `Retry-After` is a time."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import Failure
from stages.llm.messages import Reply
from stages.llm.responses import hide_in_json, hide_key, parse_retry_after
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


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40)


@given(key=KEYS, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_a_key_is_hidden_however_it_is_written(key: str, before: bytes, after: bytes):
    whole = before + key.encode() + after
    written = [
        *(key, key.upper(), key.lower(), quote(key, safe=""), quote(quote(key, safe=""), safe="").lower()),
        *(key.encode().hex(), "".join(f"%{ord(character):02X}" for character in key)),
    ]
    for form in written:
        assert hide_key(f"<{form}>", key) == "<[key]>"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        hidden = hide_key(encode(whole).decode(), key)
        assert "[key]" in hidden
        assert len(hidden) <= 4 * (len(before) + len(after) + 3) / 3 + len("[key]") + 4


def test_a_key_is_hidden_in_all_strings_of_a_body_before_they_are_shortened():
    key = "sk-Abcdefghijklmnop"
    body = {"error": {"message": "x" * 190 + key.upper()}, key: [1, None, key]}
    hidden = hide_in_json(json.dumps(body).replace("-", "\\u002d").encode(), key)
    assert json.loads(hidden) == {"error": {"message": "x" * 190 + "[key]"}, "[key]": [1, None, "[key]"]}
    assert hide_in_json(b"{", key) == b"{"
