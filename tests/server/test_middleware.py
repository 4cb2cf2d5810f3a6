"""The gate before the demo: names, other sites, sizes, slow senders and crowds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from ita_pipeline.server.middleware import HEADERS, LOOPBACK_NAMES, AllowedHosts, RequestFilter, ServerLimits
from ita_pipeline.server.serve import bind_socket

SMALL = ServerLimits(max_bytes=100, max_posts=2, max_seconds=0.2)


async def echo(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Reads all of a request, and says how much that was; what the middleware raises becomes an answer."""
    try:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)
    except HTTPException as error:
        await PlainTextResponse(str(error.detail), error.status_code)(scope, receive, send)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str


async def ask(
    middleware: RequestFilter,
    method: str = "POST",
    parts: Sequence[bytes] = (b"hi",),
    pause: float = 0.0,
    **headers: str,
) -> Reply:
    given = {"host": "localhost:80", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": "/predict",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    left = list(parts)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(pause)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await middleware(scope, receive, send)
    reply_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(
        sent[0]["status"], reply_headers, b"".join(message.get("body", b"") for message in sent[1:]).decode()
    )


def asked(middleware: RequestFilter | None = None, **request: Any) -> Reply:
    return asyncio.run(ask(middleware or RequestFilter(echo, SMALL, AllowedHosts()), **request))


def test_a_request_from_here_passes_and_its_answer_is_for_nobody_else():
    answer = asked()
    assert (answer.status, answer.body) == (200, "2")
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:9", "LOCALHOST:1"])
def test_its_own_names(host: str):
    assert asked(host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5", "", "[", "a@localhost.evil"]
)
def test_another_name_is_refused_even_to_look(host: str):
    for method in ("GET", "POST"):
        answer = asked(method=method, host=host)
        assert answer.status == 421
        assert json.loads(answer.body)["schema"] == "ita.problem/1"


def test_where_others_may_come_an_address_is_a_name_and_a_foreign_name_is_not():
    hosts = AllowedHosts(LOOPBACK_NAMES | {"box.lan"}, any_address=True)
    assert [name in hosts for name in ("192.168.1.5:80", "[fe80::1]", "box.lan:80", "evil.example")] == [
        True,
        True,
        True,
        False,
    ]


@given(st.text())
def test_no_host_header_is_too_odd(host: str):
    assert (host in AllowedHosts()) in (True, False)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://localhost:80"}, 200),
        ({"origin": "http://localhost:81"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
    ],
)
def test_another_sites_page_may_not_post(headers: dict[str, str], status: int):
    assert asked(**headers).status == status


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"x" * 50, b"x" * 50], {}, 200),
        ([b"x" * 50, b"x" * 51], {}, 413),
        ([b""], {"content_length": "101"}, 413),
        ([b""], {"content_length": "-1"}, 413),
        ([b""], {"content_length": "²"}, 413),
    ],
)
def test_a_body_is_counted_whatever_its_length_says(parts: list[bytes], headers: dict[str, str], status: int):
    assert asked(parts=parts, **headers).status == status


def test_a_slow_sender_is_not_waited_for():
    answer = asked(parts=[b"x"] * 50, pause=0.02)
    assert answer.status == 408
    assert "more than 0 s" in answer.body


def test_a_crowd_is_told_when_to_come_again_and_afterwards_it_is_free_again():
    middleware = RequestFilter(echo, ServerLimits(max_bytes=100, max_posts=2), AllowedHosts())

    async def crowd() -> list[Reply]:
        return await asyncio.gather(*(ask(middleware, pause=0.05) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["retry-after"] == "1"
    assert "try again" in json.loads(refused.body)["error"]
    assert asked(middleware).status == 200


def test_other_machines_come_in_only_by_wish():
    with bind_socket("127.0.0.1", 0) as server_socket:
        assert not AllowedHosts.of("127.0.0.1", server_socket).any_address
    with bind_socket("0.0.0.0", 0) as server_socket:
        assert AllowedHosts.of("0.0.0.0", server_socket).any_address
