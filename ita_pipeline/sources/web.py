"""Image source: files at http:// and https:// addresses, with a conditional request for those that are known.

An address may be signed: the part behind its question mark is a secret, and is neither shown nor written down.

Requests are coroutines on the event loop of fsspec, since only a coroutine can be stopped at any point: timeouts of
single reads do not stop a server that sends a byte now and then.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ita_pipeline.core.remote import WEB_PROTOCOLS, RequestLimits, retry, summarize_error, without_query
from ita_pipeline.sources.base import Fetched, RandomAccessFile, check_size, report_bad_item

if TYPE_CHECKING:
    import httpx2 as httpx
    from httpcore2 import AsyncNetworkStream

MAX_REDIRECTS = 5

_MAX_CONNECTIONS = 32

# Status codes that a retry may change.
_TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)

_OK, _PARTIAL, _NOT_MODIFIED, _RANGE_NOT_SATISFIABLE = 200, 206, 304, 416

_CONDITIONS = {"etag": "If-None-Match", "modified": "If-Modified-Since"}


class RefusedError(Exception):
    """A response that is of no use, and would be the same after a retry."""


@dataclass(frozen=True, slots=True)
class Download:
    """The status, the headers and the body of a response. A body that is too long is cut."""

    status: int
    content: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, order=True)
class HttpFile(RandomAccessFile):
    """A file by its web address."""

    url: str = field(repr=False)
    limits: RequestLimits = field(default=RequestLimits(), repr=False, compare=False)

    @property
    def label(self) -> str:
        """Implement `ImageSource.label`."""
        return without_query(self.url)

    @property
    def name(self) -> str:
        """Implement `ImageSource.name`."""
        return PurePosixPath(urlsplit(self.url).path).name or urlsplit(self.url).netloc

    def address(self, folder: str) -> bytes:
        """Implement `ImageSource.address`."""
        secret = self.url.partition("?")[2]
        digest = f"#{hashlib.sha256(secret.encode('utf-8', 'surrogateescape')).hexdigest()}" if secret else ""
        return f"{self.label}{digest}".encode("utf-8", "surrogateescape")

    def fetch_if_changed(self, max_bytes: int, known_stamp: str) -> Fetched | None:
        """Implement `ImageSource.fetch_if_changed`."""
        kind, _, value = known_stamp.partition(" ")
        download = self._download(max_bytes, {_CONDITIONS[kind]: value} if kind in _CONDITIONS else {})
        if download.status == _NOT_MODIFIED:
            return None
        return Fetched.from_content(_response_stamp(download.headers), download.content)

    def read(self, max_bytes: int) -> bytes:
        """Implement `ImageSource.read`."""
        return self._download(max_bytes, {}).content

    def size(self) -> int:
        """Implement `RandomAccessFile.size`."""
        total = self._download_range(0, 1).headers.get("content-range", "").rpartition("/")[2]
        if not total.isdecimal():
            raise OSError("the server does not say how long it is")
        return int(total)

    def current_stamp(self) -> str:
        """Implement `RandomAccessFile.current_stamp`."""
        return _response_stamp(self._download_range(0, 1).headers)

    def read_range(self, start: int, size: int) -> bytes:
        """Implement `RandomAccessFile.read_range`."""
        return self._download_range(start, size).content[:size] if size else b""

    def _download(self, max_bytes: int, headers: dict[str, str]) -> Download:
        with report_bad_item("cannot be fetched"):
            download = self._send(max_bytes, headers)
        check_size(len(download.content), max_bytes)
        return download

    def _download_range(self, start: int, size: int) -> Download:
        headers = {"Range": f"bytes={start}-{start + size - 1}"}
        try:
            download = self._send(size, headers)
        except RefusedError as error:
            raise OSError(str(error)) from error
        content_range = download.headers.get("content-range", "")
        is_other_range = download.content and not content_range.startswith(f"bytes {start}-")
        if download.status != _PARTIAL or is_other_range:
            raise OSError("the server does not give parts of files, so fetch it first")
        return download

    def _send(self, max_bytes: int, headers: dict[str, str]) -> Download:
        """Request the file, repeatedly if necessary, within `file_seconds` in all.

        Raises:
            BadItemError: the server announces more than `max_bytes` bytes.
            RefusedError: the responses are of no use, or the time is over.
            OSError: no connection, or it breaks.
        """
        from fsspec.asyn import get_loop, sync  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

        end = time.monotonic() + self.limits.file_seconds

        def request() -> Download:
            download: Any = sync(get_loop(), _request_until, end, self, max_bytes, headers)
            return download

        return retry(request, self.limits)


def _response_stamp(headers: Mapping[str, str]) -> str:
    """Return a strong entity tag, or a time of change well before the response (RFC 9110, section 8.8)."""
    etag, modified, date = (headers.get(name, "") for name in ("etag", "last-modified", "date"))
    if etag and not etag.startswith("W/"):
        return f"etag {etag}"
    is_settled = modified and date and _parse_seconds(date) - _parse_seconds(modified) >= 60
    return f"modified {modified}" if is_settled else ""


def _parse_seconds(date: str) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


@functools.cache
def open_client(limits: RequestLimits, *, is_public: bool = False) -> httpx.AsyncClient:
    """Return the client that all requests share, so that connections are reused.

    The client for redirects that must stay public has connections of its own: each was checked when it was made.
    """
    import httpx2 as httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds),
        limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_CONNECTIONS),
        headers={"Accept-Encoding": "identity", "User-Agent": "ita-pipeline"},
    )


async def _request_until(end: float, file: HttpFile, max_bytes: int, headers: dict[str, str]) -> Download:
    """Request a file as `_request` does, until the time `end` of `time.monotonic`."""
    import asyncio

    try:
        async with asyncio.timeout(end - time.monotonic()):
            return await _request(file, max_bytes, headers)
    except TimeoutError as error:
        raise RefusedError(f"no complete response within {file.limits.file_seconds:g} s") from error


async def _request(file: HttpFile, max_bytes: int, headers: dict[str, str]) -> Download:
    """Send a GET request and follow its redirects. A body of more than `max_bytes` is cut one byte behind that.

    httpx builds the redirected requests. They are sent here, since httpx would read the body of each redirect
    without a limit. A public server must not reach servers of this machine's network through them: what is checked
    is the address of the connection, whatever name led to it.

    Raises:
        BadItemError: the server announces a longer body.
        RefusedError: the response is of no use.
        OSError: a retry may succeed.
    """
    import httpx2 as httpx

    client = open_client(file.limits)
    may_be_private = True
    try:
        request = client.build_request("GET", file.url, headers=headers)
        for _ in range(MAX_REDIRECTS + 1):
            if request.url.scheme not in WEB_PROTOCOLS:
                raise RefusedError("it is not an http:// or https:// address")
            if not may_be_private:
                client = open_client(file.limits, is_public=True)
                _require_public(request.url.host)
                request.extensions["trace"] = functools.partial(_check_connection, request)
            response = await client.send(request, stream=True)
            async with aclosing(response):
                following = response.next_request
                if following is None:
                    return await _read_response(response, max_bytes)
                may_be_private = may_be_private and _is_private_server(response)
            if request.url.scheme == "https" and following.url.scheme == "http":
                raise RefusedError("it leads from https:// to http://")
            request = following
    except httpx.InvalidURL as error:
        raise RefusedError(f"this is not a web address: {summarize_error(error)}") from error
    except httpx.TransportError as error:
        raise OSError(summarize_error(error)) from error
    raise RefusedError(f"more than {MAX_REDIRECTS} redirects")


async def _check_connection(request: httpx.Request, event: str, info: Mapping[str, Any]) -> None:
    """Refuse a new connection of a redirect to a private address before anything is sent over it."""
    if event != "connection.connect_tcp.complete" or _uses_proxy(request.url):
        return
    stream = info["return_value"]
    try:
        _require_public(_server_address(stream))
    except RefusedError:
        await stream.aclose()
        raise


def _is_private_server(response: httpx.Response) -> bool:
    """Whether the listed address itself is that of a private server, as far as this machine can tell."""
    if _uses_proxy(response.request.url):
        return is_private(response.request.url.host)
    return is_private(_server_address(response.extensions["network_stream"]))


def _server_address(stream: AsyncNetworkStream) -> str:
    return str(stream.get_extra_info("server_addr")[0])


def _uses_proxy(url: httpx.URL) -> bool:
    """Whether a proxy looks the host up, so that its address is not known here."""
    return bool(getproxies().keys() & {url.scheme, "all"}) and not proxy_bypass(url.host)


def _require_public(host: str) -> None:
    if is_private(host):
        raise RefusedError("a public server leads to an address of this machine or its network")


def is_private(host: str) -> bool:
    """Whether a host is a loopback, link-local, private or other address that is not of the internet.

    Names are not looked up; only `localhost` counts as one.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        number = int(address)
        if number >> 32 in (0, 0xFFFF, 0xFFFF0000, 0x64FF9B << 64):  # forms of an IPv4 address in IPv6
            address = ipaddress.IPv4Address(number & 0xFFFFFFFF)
        elif address.sixtofour:
            address = address.sixtofour
        elif address.is_site_local or number >> 80 == 0x64FF9B0001:  # 64:ff9b:1::/48: an own translation
            return True
    return not address.is_global or address.is_multicast


async def _read_response(response: httpx.Response, max_bytes: int) -> Download:
    status, headers = response.status_code, response.headers
    if status in _TRANSIENT_STATUSES:
        raise OSError(f"the server answered {status}")
    if status in (_NOT_MODIFIED, _RANGE_NOT_SATISFIABLE):
        return Download(_PARTIAL if status == _RANGE_NOT_SATISFIABLE else status, b"", headers)
    if status not in (_OK, _PARTIAL):
        raise RefusedError(f"the server answered {status}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError("the server compressed it, though it was asked not to")
    length = headers.get("content-length", "")
    if status == _OK and length.isdecimal() and "range" not in response.request.headers:
        check_size(int(length), max_bytes)
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            break
    return Download(status, bytes(content[: max_bytes + 1]), headers)
