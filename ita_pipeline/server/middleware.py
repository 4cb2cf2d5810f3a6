"""ASGI middleware that limits which requests reach the application.

The page is for the user of this machine. Pages of other sites in the user's browser must not use it, neither with a
form or script that posts across sites nor with a host name that resolves to this machine (DNS rebinding).
Bodies are measured while they arrive, and the number of posts in progress is limited.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import re
import socket
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ita_pipeline.ner.prediction import BATCH_SIZE
from ita_pipeline.server.schemas import ErrorResponse

DRAIN_SECONDS = 5.0

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

# No user information, no path, no zone of an address, no digits but ASCII ones.
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([1-9][0-9]{0,4}))?", re.ASCII | re.IGNORECASE)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits for bytes of a request, characters of a text, texts in a list, and requests in progress.

    Also for connections, all of them and those of one address, and for seconds to send headers and body.
    """

    max_bytes: int = 26 * 1024 * 1024
    max_characters: int = 2_000
    max_texts: int = BATCH_SIZE
    max_posts: int = 32
    max_connections: int = 256
    max_client_connections: int = 24
    header_seconds: int = 15
    max_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Lower-case host names and bracketed IPv6 addresses of this server, and its port.

    With `any_address`, every IP address is allowed too, because no other site can use one as its name.
    """

    port: int
    names: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False

    @classmethod
    def of(cls, host: str, server_socket: socket.socket) -> Self:
        """Return the names to respond to: those of this machine, and addresses if other machines can connect."""
        address, port = server_socket.getsockname()[:2]
        if address.startswith(("127.", "::1")):
            return cls(port, LOOPBACK_NAMES | {_bracket(host), _bracket(address)})
        here = {_bracket(name) for name in (host, socket.gethostname(), socket.getfqdn())}
        return cls(port, LOOPBACK_NAMES | here, any_address=True)

    def __contains__(self, header: str) -> bool:
        match = HOST.fullmatch(header)
        if match is None or int(match[2] or 80) != self.port:
            return False
        name = match[1].lower()
        return name in self.names or (self.any_address and _is_address(name))


def _bracket(name: str) -> str:
    return f"[{name.lower()}]" if ":" in name else name.lower()


def _is_address(name: str) -> bool:
    kind = ipaddress.IPv6Address if name.startswith("[") else ipaddress.IPv4Address
    try:
        kind(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_cross_site(headers: Headers) -> bool:
    """Whether a browser sent the request for a page of another site; other programs send no such header.

    The `Host` header is one of the server's names here.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    own = f"http://{headers['host']}".lower()
    return any(origin.lower() != own for origin in headers.getlist("origin"))


def error_response(status: int, error: str, **headers: str) -> JSONResponse:
    """Return an error as JSON; underscores in the names of headers stand for hyphens."""
    content = ErrorResponse(error=error).model_dump(mode="json", by_alias=True)
    return JSONResponse(content, status, {name.replace("_", "-"): value for name, value in headers.items()})


class RequestFilter:
    """The middleware, around the whole application."""

    def __init__(self, app: ASGIApp, limits: ServerLimits, hosts: AllowedHosts) -> None:
        self.app, self.limits, self.hosts = app, limits, hosts
        self._active_posts = 0
        self._size_error = f"a text and its picture may have at most {limits.max_bytes / 1024**2:.0f} MB together"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            if "expect" not in headers:  # a client that asks before sending waits for the response
                await self._drain(receive)
            await refusal(scope, receive, send_with_headers)
        elif scope["method"] == "POST":
            self._active_posts += 1
            try:
                await self.app(scope, self._limited(receive), send_with_headers)
            finally:
                self._active_posts -= 1
        else:
            await self.app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if host not in self.hosts:
            return error_response(421, f"this server has no host name {host[:100] or '(none)'}")
        if method not in ("GET", "HEAD") and _is_cross_site(headers):
            return error_response(403, "pages of other sites cannot send requests")
        length = headers.get("content-length", "0")
        # Python refuses to convert thousands of digits.
        if not length.isdecimal() or len(length) > 20 or int(length) > self.limits.max_bytes:
            return error_response(413, self._size_error, Connection="close")
        if method == "POST" and self._active_posts >= self.limits.max_posts:
            message = f"{self._active_posts} posts are already being processed; try again in a moment"
            retry_after = str(math.ceil(self._active_posts / 16))
            return error_response(503, message, Retry_After=retry_after, Connection="close")
        return None

    async def _drain(self, receive: Receive) -> None:
        """Discard the body for a short time: many clients read the response only after sending everything."""
        size, has_more = 0, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while has_more and size < 4 * self.limits.max_bytes:
                    message = await receive()
                    size += len(message.get("body", b""))
                    has_more = message.get("more_body", False)

    def _limited(self, receive: Receive) -> Receive:
        """Return a function that receives the body and raises `HTTPException` if it is too large or too slow."""
        size = 0
        deadline = asyncio.get_running_loop().time() + self.limits.max_seconds
        is_complete = False

        async def receive_limited() -> Message:
            nonlocal size, is_complete
            if is_complete:  # the application only waits for the client to disconnect
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"the request took more than {self.limits.max_seconds:.0f} s to arrive"
                ) from None
            size += len(message.get("body", b""))
            if size > self.limits.max_bytes:
                if message.get("more_body", False):
                    await self._drain(receive)
                raise HTTPException(413, self._size_error)
            is_complete = not message.get("more_body", False)
            return message

        return receive_limited
