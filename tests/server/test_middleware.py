"""Tests of what the demo refuses: foreign hosts and origins, large or slow bodies, and too many posts at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from ita_pipeline.server.middleware import HEADERS, LOOPBACK_NAMES, AllowedHosts, RequestFilter, ServerLimits
from ita_pipeline.server.serve import bind_socket

HOSTS = AllowedHosts(port=80)
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
    return asyncio.run(ask(middleware or RequestFilter(echo, SMALL, HOSTS), **request))


def test_a_request_from_this_machine_passes_and_its_response_is_not_shared():
    answer = asked()
    assert (answer.status, answer.body) == (200, "2")
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "LOCALHOST:80"])
def test_the_names_of_this_machine_with_the_port_of_the_server_are_allowed(host: str):
    assert asked(host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.5",
        "",
        "[",
        "a@localhost.evil",
        "evil.com@127.0.0.1",
        "localhost:81",
        "localhost:",
        "localhost:080",
        "localhost:\xb2",
        "localhost/",
        "[localhost]",
        "::1",
        "localhost\n",
    ],
)
def test_any_other_host_is_refused_for_every_method(host: str):
    for method in ("GET", "POST"):
        answer = asked(method=method, host=host)
        assert answer.status == 421
        assert json.loads(answer.body)["schema"] == "ita.problem/1"


def test_a_server_for_other_machines_allows_addresses_but_no_foreign_name():
    hosts = AllowedHosts(80, LOOPBACK_NAMES | {"box.lan"}, any_address=True)
    assert all(host in hosts for host in ("192.168.1.5:80", "[fe80::1]", "box.lan:80"))
    refused = ("evil.example", "192.168.1.5:81", "fe80::1", "[192.168.1.5]", "[fe80::1%eth0]", "1.2.3.4.5", "[:]")
    assert not any(host in hosts for host in refused)


NETLOCS = [f"{name}:80" for name in ("localhost", "127.0.0.1", "[::1]")]
PARTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    ":80",
    "80",
    ":",
    "[",
    "]",
    "@",
    "/",
    ".",
    "http://",
    "https://",
    "null",
]
LATIN = st.characters(max_codepoint=255)
NEARLY_OURS = st.one_of(
    st.text(LATIN), st.lists(st.sampled_from(PARTS) | st.text(LATIN, max_size=2), max_size=5).map("".join)
)


@settings(max_examples=200, deadline=None)
@given(host=NEARLY_OURS)
def test_no_host_is_accepted_but_one_of_our_names_with_our_port(host: str):
    expected = 200 if host.lower() in (*NETLOCS, "localhost", "127.0.0.1", "[::1]") else 421
    assert asked(host=host).status == expected


@settings(max_examples=200, deadline=None)
@given(origin=NEARLY_OURS, host=st.sampled_from(NETLOCS))
def test_no_origin_is_accepted_but_the_page_of_the_same_host(origin: str, host: str):
    assert asked(origin=origin, host=host).status == (200 if origin.lower() == f"http://{host}" else 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://localhost:80"}, 200),
        ({"origin": "http://localhost:81"}, 403),
        ({"origin": "https://localhost:80"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_post(headers: dict[str, str], status: int):
    assert asked(**headers).status == status


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"x" * 50, b"x" * 50], {}, 200),
        ([b"x" * 50, b"x" * 51], {}, 413),
        ([b""], {"content_length": "101"}, 413),
        ([b""], {"content_length": "-1"}, 413),
        ([b""], {"content_length": "9" * 5000}, 413),
        ([b""], {"content_length": "²"}, 413),
    ],
)
def test_a_body_is_measured_whatever_its_content_length(parts: list[bytes], headers: dict[str, str], status: int):
    assert asked(parts=parts, **headers).status == status


def test_a_slow_sender_is_refused_after_the_time_limit():
    answer = asked(parts=[b"x"] * 50, pause=0.02)
    assert answer.status == 408
    assert "more than 0 s" in answer.body


def test_posts_above_the_limit_are_refused_until_others_are_answered():
    middleware = RequestFilter(echo, ServerLimits(max_bytes=100, max_posts=2), HOSTS)

    async def crowd() -> list[Reply]:
        return await asyncio.gather(*(ask(middleware, pause=0.05) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert refused.headers["retry-after"] == "1"
    assert "try again" in json.loads(refused.body)["error"]
    assert asked(middleware).status == 200


def test_addresses_are_allowed_only_if_other_machines_can_connect():
    with bind_socket("127.0.0.1", 0) as server_socket:
        assert not AllowedHosts.of("127.0.0.1", server_socket).any_address
    with bind_socket("0.0.0.0", 0) as server_socket:
        assert AllowedHosts.of("0.0.0.0", server_socket).any_address
