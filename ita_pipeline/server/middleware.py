"""Who may ask what, and how much: the gate before the application.

The page is for the person at this machine. Other pages that the person's browser has open must not use it, be it
by a form or a script that posts across sites, or by a name of their own that they let point here (DNS rebinding).
What comes in is counted while it comes, and no more posts are taken in than can be answered soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ita_pipeline.server.schemas import Problem

Message = MutableMapping[str, Any]

Receive = Callable[[], Awaitable[Message]]

Send = Callable[[Message], Awaitable[None]]

Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


SECONDS_TO_DRAIN = 5.0

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may come in: bytes of a request, characters of a text, posts that are sent or answered at one time, and
    the seconds that sending one may take.
    """

    bytes: int = 26 * 1024 * 1024
    characters: int = 2_000
    posts: int = 32
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that this server goes by. `addresses`: also any IP address, which no foreign page can pretend."""

    names: frozenset[str] = LOCAL
    addresses: bool = False

    def known(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.addresses and is_address(name))


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that another site's page is behind a request; programs say nothing of the kind."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def problem(status: int, error: str, **headers: str) -> JSONResponse:
    content = Problem(error=error).model_dump(mode="json", by_alias=True)
    return JSONResponse(content, status, {name.replace("_", "-"): value for name, value in headers.items()})


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Application, bounds: Bounds, hosts: Hosts) -> None:
        self.app, self.bounds, self.hosts = app, bounds, hosts
        self.inside = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self.refusal(scope["method"], headers)
        if refusal is not None:
            if "expect" not in headers:  # one who asks before sending needs no more than the answer
                await self.drain(receive)
            await refusal(scope, receive, sent)
        elif scope["method"] == "POST":
            self.inside += 1
            try:
                await self.app(scope, self.counted(receive), sent)
            finally:
                self.inside -= 1
        else:
            await self.app(scope, receive, sent)

    def refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self.hosts.known(host):
            return problem(421, f"this server does not go by the name {host[:100] or '(none)'}")
        if method not in ("GET", "HEAD") and from_elsewhere(headers):
            return problem(403, "another site's page may not ask here")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.bounds.bytes:
            return problem(413, self.too_much, Connection="close")
        if method == "POST" and self.inside >= self.bounds.posts:
            said = f"{self.inside} posts are being answered already; try again in a moment"
            return problem(503, said, Retry_After=str(math.ceil(self.inside / 16)), Connection="close")
        return None

    @property
    def too_much(self) -> str:
        return f"a text and its picture may take {self.bounds.bytes / 1024**2:.0f} MB together, not more"

    async def drain(self, receive: Receive) -> None:
        """Read on for a moment without keeping anything: a program hears an answer only when it has sent all."""
        taken, more = 0, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_DRAIN):
                while more and taken < 4 * self.bounds.bytes:
                    message = await receive()
                    taken += len(message.get("body", b""))
                    more = message.get("more_body", False)

    def counted(self, receive: Receive) -> Receive:
        """The request's body, as far as it keeps within the bounds of size and time.

        Raises:
            HTTPException: it does not, from the returned function.
        """
        taken = 0
        until = asyncio.get_running_loop().time() + self.bounds.seconds
        arrived = False

        async def more() -> Message:
            nonlocal taken, arrived
            if arrived:  # what is still listened for is that the other end went away
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"sending it took more than {self.bounds.seconds:.0f} s") from None
            taken += len(message.get("body", b""))
            if taken > self.bounds.bytes:
                if message.get("more_body", False):
                    await self.drain(receive)
                raise HTTPException(413, self.too_much)
            arrived = not message.get("more_body", False)
            return message

        return more
