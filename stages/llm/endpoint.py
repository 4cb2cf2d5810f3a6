"""The address of a language model that is served over HTTP, and the rules for using it."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import Field

from stages.base import Frozen, StageError


class Endpoint(Frozen):
    """Where a model is served and how requests are sent. Only `model` and `extra` change what the model answers.

    Attributes:
        url: The base address that ends in `/v1`, as OpenAI's clients take it.
        model: The name of the model on the server.
        key_variable: The environment variable that holds the API key. It is read for each request and not stored.
        consent: Whether the user agreed to sending data to another machine.
        suggested: Whether the user did not name `url`. Then even sending to this machine requires consent, since
            any program may listen there, and no API key is sent.
        concurrency: Maximum number of requests in flight.
        connect: Timeout of the connection in seconds.
        read: Timeout of the next bytes in seconds.
        total: Timeout of a whole request in seconds.
        tries: Maximum number of tries of a question.
        back_off: Seconds before the first retry; each further retry waits twice as long.
        longest_wait: Maximum `Retry-After` in seconds that the client waits for. A longer one ends the run.
        max_bytes: Maximum size of a response.
        max_requests: Maximum number of requests of one client, retries included.
        max_tokens: Maximum number of tokens of one client.
        extra: Further fields of each request.
    """

    url: str
    model: str
    key_variable: str = "ITA_API_KEY"
    consent: bool = False
    suggested: bool = False
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
    def remote_host(self) -> str:
        """The host if it is another machine, which data is then sent to, else empty.

        Raises:
            StageError: `url` is not a web address.
        """
        host = _parse_url(self.url).hostname or ""
        return "" if is_loopback(host) else host

    def check(self) -> None:
        """Check that requests may be sent.

        Raises:
            StageError: The address is invalid or contains a password, the key would be sent unencrypted, or the
                user did not agree to sending data to another machine.
        """
        url = _parse_url(self.url)
        if "@" in url.netloc or url.query:
            raise StageError(
                "the endpoint's address contains a password or a query", f"export {self.key_variable}=…"
            )
        key = self.read_key()
        host = self.remote_host
        if key and host and url.scheme != "https":
            hint = f"use an https endpoint, or: unset {self.key_variable}"
            raise StageError(f"the key in {self.key_variable} would be sent unencrypted to {host}", hint)
        if (host or self.suggested) and not self.consent:
            raise StageError(f"you have not agreed to send anything to {host or url.netloc}", "--yes agrees")

    def read_key(self) -> str:
        """Return the API key in the environment, empty if there is none, or if it may not be sent.

        Raises:
            StageError: The key contains characters that cannot be sent. The message does not contain the key.
        """
        key = "" if self.suggested else os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise StageError(f"{self.key_variable} contains characters that keys do not have", "set it again")
        return key


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine. Names other than `localhost` are not looked up and count as remote."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parse_url(url: str) -> SplitResult:
    error = StageError("the endpoint is not a URL", "such as http://localhost:11434/v1")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is not a number
    except ValueError as cause:
        raise error from cause
    is_plain = re.fullmatch(r"([^@/]*@)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]*)?", parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise error
    return parts
