"""Half-sent requests, slow headers and unread responses, from raw sockets to a real server."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from ita_pipeline.server.connections import make_server
from ita_pipeline.server.middleware import AllowedHosts, RequestFilter, ServerLimits
from ita_pipeline.server.serve import bind_socket

HALF_HEADERS = b"POST /predict HTTP/1.1\r\nHost: localhost:PORT\r\nX-Half"
HALF_BODY = b"POST /predict HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 10\r\n\r\nhalf"
WHOLE = b"POST /predict HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 0\r\n\r\n"
LARGE = bytes(1 << 23)


@contextmanager
def running(app: Any = None, **limits: Any) -> Iterator[tuple[str, int]]:
    """Serve an application, by default one that returns the request's body, or a large response to GET."""
    server_limits = replace(ServerLimits(header_seconds=1), **limits)
    with bind_socket("127.0.0.1", 0) as server_socket:
        hosts = AllowedHosts(server_socket.getsockname()[1])
        server = make_server(RequestFilter(app or echo, server_limits, hosts), server_limits)
        thread = threading.Thread(target=server.run, args=([server_socket],))
        thread.start()
        try:
            yield server_socket.getsockname()
        finally:
            server.should_exit = True
            thread.join()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] == "GET":
        await Response(LARGE)(scope, receive, send)
    else:
        await Response(await Request(scope, receive).body())(scope, receive, send)


def connect(stack: ExitStack, address: tuple[str, int], sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    client = stack.enter_context(socket.create_connection(address, timeout=10, source_address=(source, 0)))
    client.sendall(sent.replace(b"PORT", b"%d" % address[1]))
    return client


def post(address: tuple[str, int]) -> tuple[int, bytes]:
    connection = HTTPConnection(*address, timeout=10)
    try:
        connection.request("POST", "/predict", b"hi", {"Host": f"localhost:{address[1]}"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def is_closed(client: socket.socket) -> bool:
    """Whether the server closes a connection, within the client's timeout, without a response."""
    try:
        return client.recv(1) == b""
    except (ConnectionResetError, TimeoutError) as error:
        return isinstance(error, ConnectionResetError)


@pytest.mark.parametrize("sent", [b"", b"P", HALF_HEADERS, HALF_BODY])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_a_request_is_answered_while_300_half_sent_ones_are_open(sent: bytes, source: str):
    with running(header_seconds=60) as address, ExitStack() as stack:
        for _ in range(300):
            connect(stack, address, sent, source)
        for _ in range(5):
            start = time.monotonic()
            assert post(address) == (200, b"hi")
            assert time.monotonic() - start < 5


def test_many_addresses_with_half_sent_requests_do_not_take_all_places():
    with running(header_seconds=60) as address, ExitStack() as stack:
        for number in range(300):
            connect(stack, address, HALF_HEADERS, f"127.0.1.{1 + number % 30}")
        assert post(address) == (200, b"hi")


def test_headers_that_drip_are_cut_off():
    with running() as address, ExitStack() as stack:
        client = connect(stack, address, HALF_HEADERS)
        start = time.monotonic()
        client.settimeout(0.1)
        while not is_closed(client) and time.monotonic() - start < 8:
            with suppress(OSError):
                client.sendall(b"x")
        assert 0.5 < time.monotonic() - start < 5


def test_a_body_may_take_longer_than_the_headers():
    with running() as address, ExitStack() as stack:
        client = connect(stack, address, HALF_BODY)
        time.sleep(2)
        client.sendall(b"-sent.")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_closed_after_its_response():
    with running() as address, ExitStack() as stack:
        client = connect(stack, address, WHOLE * 2)
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert received.count(b"200 OK") == 2


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_responses_that_nobody_reads_take_no_place_for_ever(more: bytes):
    with running(max_client_connections=4) as address, ExitStack() as stack:
        ask = b"GET / HTTP/1.1\r\nHost: localhost:PORT\r\n%s\r\n" % more
        for _ in range(8):
            connect(stack, address, ask * 3)
        assert post(address) == (200, b"hi")


def test_a_client_with_all_its_places_in_work_is_told_to_come_again():
    started, release = threading.Semaphore(0), threading.Event()

    async def work(scope: Any, receive: Any, send: Any) -> None:
        import anyio

        body = await Request(scope, receive).body()
        started.release()
        await anyio.to_thread.run_sync(release.wait)
        await Response(body)(scope, receive, send)

    with running(work, max_client_connections=2) as address, ExitStack() as stack:
        stack.callback(release.set)
        workers = [connect(stack, address, WHOLE) for _ in range(2)]
        for _ in workers:
            started.acquire()
        status, body = post(address)
        assert (status, b"2 connections are already being processed" in body) == (503, True)
        release.set()
        assert [client.recv(100)[:15] for client in workers] == [b"HTTP/1.1 200 OK"] * 2


def test_the_oldest_half_sent_request_gives_way():
    with running(max_client_connections=2, header_seconds=60) as address, ExitStack() as stack:
        clients = [connect(stack, address, HALF_HEADERS) for _ in range(4)]
        assert [is_closed(client) for client in clients[:2]] == [True, True]
        clients[2].settimeout(0.3)
        assert not is_closed(clients[2])


def test_a_request_that_ends_with_the_server_leaves_no_traceback(caplog: pytest.LogCaptureFixture):
    make_server(cast(Any, None), ServerLimits())
    for error in (asyncio.CancelledError(), ValueError("another error")):
        logging.getLogger("uvicorn.error").error("in a request", exc_info=error)
    logging.getLogger("uvicorn.error").error("Cancel %s running task(s), timeout graceful shutdown exceeded", 1)
    assert "Cancel" not in caplog.text
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["another error"]
