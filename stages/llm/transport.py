"""Send single chat requests to an endpoint and classify what comes back, however broken it is."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import Any

import httpx2 as httpx

from stages.base import FailureKind, StageError
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Messages, Sampling
from stages.llm.responses import (
    RequestOutcome,
    classify_response,
    hide_in_json,
    hide_key,
    parse_reply,
    report_redirect,
)

MAX_REDIRECTS = 3


class ChatTransport:
    """Requests to one endpoint. The API key is removed from everything that a server returns, in all its forms."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        """Check the endpoint and load the certificates.

        Raises:
            StageError: See `Endpoint.check`.
        """
        endpoint.check()
        self.endpoint, self.sampling = endpoint, sampling
        try:
            self.url = httpx.URL(endpoint.url.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL as error:
            raise StageError(f"the endpoint is not a URL: {error}", "such as http://localhost:11434/v1") from error
        host = self.url.raw_host.decode()
        self.host = f"{host}:{self.url.port}" if self.url.port else host
        # Loaded once: reading this machine's certificates takes longer than a local server takes to answer.
        self.tls = httpx.create_ssl_context() if self.url.scheme == "https" else False

    def connect(self) -> httpx.AsyncClient:
        """Return a client whose connections are closed with it."""
        endpoint = self.endpoint
        # No compression, since a small compressed response may unpack to gigabytes.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key := endpoint.read_key():
            headers["Authorization"] = f"Bearer {key}"
        limit = endpoint.concurrency
        return httpx.AsyncClient(
            headers=headers,
            verify=self.tls,
            timeout=httpx.Timeout(endpoint.read, connect=endpoint.connect, pool=None),
            limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
            follow_redirects=False,
            trust_env=bool(endpoint.remote_host),  # a proxy is another machine
        )

    def build_body(self, messages: Messages) -> dict[str, Any]:
        """Return the JSON of a request. A field that `Endpoint.extra` sets to None is left out."""
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [message.to_json() for message in messages],
            **asdict(self.sampling),
            "stream": False,
            **self.endpoint.extra,
        }
        return {name: value for name, value in body.items() if value is not None}

    async def send(self, http: httpx.AsyncClient, body: dict[str, Any], prompt_tokens: int) -> RequestOutcome:
        """Send one request, follow redirects within the host, and return the outcome.

        Args:
            http: The client of `connect`.
            body: The JSON of `build_body`.
            prompt_tokens: An estimate for servers that do not count tokens.
        """
        timeout = RequestOutcome("", "is it the right endpoint?", is_retryable=True, is_timeout=True)
        try:
            async with asyncio.timeout(self.endpoint.total):
                return await self._fetch(http, body, prompt_tokens)
        except TimeoutError:
            return replace(timeout, reason=f"no whole answer within {self.endpoint.total:g} s")
        except httpx.TimeoutException as error:
            return replace(timeout, reason=f"no answer in time ({type(error).__name__})")
        except httpx.ConnectError:
            hint = "start the server, or check the endpoint; the same command goes on"
            return RequestOutcome(f"{self.host} does not answer", hint, is_retryable=True, is_unavailable=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return RequestOutcome(f"the answer broke off ({type(error).__name__})", is_retryable=True)

    async def _fetch(self, http: httpx.AsyncClient, body: dict[str, Any], prompt_tokens: int) -> RequestOutcome:
        url = self.url
        for _ in range(MAX_REDIRECTS + 1):
            async with http.stream("POST", url, json=body) as response:
                target = self._find_redirect(response)
                if target is None:
                    return await self._receive(response, prompt_tokens)
                url = target
        return report_redirect(self.host)

    def _find_redirect(self, response: httpx.Response) -> httpx.URL | None:
        """Return the target of a redirect that keeps the method and stays on this server, else None."""
        if response.status_code not in (307, 308) or "location" not in response.headers:
            return None
        target = response.url.join(response.headers["location"])
        server = (self.url.scheme, self.url.host, self.url.port)
        return target if (target.scheme, target.host, target.port) == server else None

    async def _receive(self, response: httpx.Response, prompt_tokens: int) -> RequestOutcome:
        """Read a response up to the size limit, which also ends a response that is endless."""
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self.endpoint.max_bytes:
                break
        is_too_long = len(content) > self.endpoint.max_bytes
        encoding = response.headers.get("content-encoding", "identity").lower()
        if is_too_long or encoding not in ("identity", ""):
            content.clear()  # too long, or compressed although `connect` declined it
        if key := self.endpoint.read_key():
            # Before anything is shortened, since a part of the key must not stay either.
            content = bytearray(hide_in_json(bytes(content), key))
            if "location" in response.headers:
                response.headers["location"] = hide_key(response.headers["location"], key)
        if response.status_code != 200:
            key_variable = "" if self.endpoint.suggested else self.endpoint.key_variable
            return classify_response(response, bytes(content), self.host, key_variable)
        if is_too_long:
            reason = f"the answer is longer than {self.endpoint.max_bytes} bytes"
            return RequestOutcome(reason, kind=FailureKind.PERMANENT)
        return parse_reply(bytes(content), prompt_tokens)
