"""An address where a language model is served over HTTP, and what is allowed with it."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import Field

from stages.base import Frozen, StageError


class Endpoint(Frozen):
    """Where a model is served, and how it is asked. Of all this only `model` and `extra` change what it says.

    `url` is the base that ends in `/v1`, as OpenAI's clients take it. The key is read from the environment variable
    `key_variable` when a request is made, and stays there. `consent` is needed for any host but this machine.
    `connect`, `read` and `total` are seconds for the connection, the next bytes, and one request from end to end.
    `longest_wait` is the longest `Retry-After`, in seconds, that is waited for; a longer one ends the run.
    `max_requests` and `max_tokens` bound what one client spends; retries count. `extra` goes into each request.
    """

    url: str
    model: str
    key_variable: str = "ITA_API_KEY"
    consent: bool = False
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    connect: Annotated[float, Field(gt=0)] = 10.0
    read: Annotated[float, Field(gt=0)] = 60.0
    total: Annotated[float, Field(gt=0)] = 120.0
    tries: Annotated[int, Field(ge=1, le=20)] = 4
    back_off: Annotated[float, Field(ge=0)] = 1.0
    longest_wait: Annotated[float, Field(ge=0)] = 60.0
    max_bytes: Annotated[int, Field(gt=0)] = 1 << 20
    max_requests: Annotated[int, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def host(self) -> str:
        return parsed(self.url).hostname or ""

    @property
    def remote(self) -> bool:
        """Whether what is sent leaves this machine."""
        return not is_loopback(self.host)

    def check(self) -> None:
        """
        Raises:
            StageError: the address is none or holds a password, the key would travel in clear, or nobody agreed
                that anything leaves this machine.
        """
        url = parsed(self.url)
        if "@" in url.netloc or url.query:
            raise StageError("the endpoint's address holds a password or a query", f"export {self.key_variable}=…")
        key = self.key()
        if key and self.remote and url.scheme != "https":
            raise StageError(
                f"the key in {self.key_variable} would travel in clear to {self.host}",
                f"use an https endpoint, or: unset {self.key_variable}",
            )
        if self.remote and not self.consent:
            raise StageError(f"nobody agreed that anything is sent to {self.host}", "--yes agrees")

    def key(self) -> str:
        """
        Raises:
            StageError: it holds what cannot be sent. The message does not say what.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise StageError(f"{self.key_variable} holds characters that no key has", "set it anew")
        return key


def parsed(url: str) -> SplitResult:
    """
    Raises:
        StageError: it is no address of a web server.
    """
    try:
        found = urlsplit(url)
        _ = found.port
    except ValueError as error:
        raise StageError("the endpoint is no address", "such as http://localhost:11434/v1") from error
    if found.scheme not in ("http", "https") or not found.hostname:
        raise StageError("the endpoint is no address", "such as http://localhost:11434/v1")
    return found


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine. Other names are not looked up, and count as elsewhere."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
