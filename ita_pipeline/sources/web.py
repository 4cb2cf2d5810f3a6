"""Pictures by an https:// or http:// address, each asked for whether it has changed.

An address may be signed: what follows its question mark is a secret, and is neither shown nor written down.
"""

from __future__ import annotations

import functools
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from ita_pipeline.core.remote import CONNECT_SECONDS, READ_SECONDS, retry, summarize_error, without_query
from ita_pipeline.sources.base import Looked, check_size, looked
from stages.base import BadItemError, FailureKind

PROTOCOLS = ("http", "https")

MOST_REDIRECTS = 5

SECONDS_A_FILE = 120.0

MOST_AT_ONCE = 32

REDIRECTS = (301, 302, 303, 307, 308)

# Answers that another try may better.
PASSING = (408, 425, 429, 500, 502, 503, 504)

NOT_CHANGED, PARTIAL, NO_SUCH_PART = 304, 206, 416


class PassingError(OSError):
    """The server cannot answer now."""


class RefusedError(Exception):
    """What a server answered is of no use, and would be the next time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The body, cut where it became too long, and the headers."""

    status: int
    content: bytes
    headers: Any


@dataclass(frozen=True, slots=True, order=True)
class WebFile:
    url: str = field(repr=False)

    @property
    def label(self) -> str:
        return without_query(self.url)

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name or urlsplit(self.url).netloc

    @property
    def far(self) -> bool:
        return True

    def address(self, here: str) -> bytes:
        secret = self.url.partition("?")[2]
        told = f"#{hashlib.sha256(secret.encode('utf-8', 'surrogateescape')).hexdigest()}" if secret else ""
        return f"{self.label}{told}".encode("utf-8", "surrogateescape")

    def stamp(self) -> str:
        return ""

    def look(self, most: int, known: str) -> Looked | None:
        answer = self.asked(most, condition(known))
        return None if answer.status == NOT_CHANGED else looked(stamp_of(answer.headers), answer.content)

    def read(self, most: int) -> bytes:
        return self.asked(most, {}).content

    def asked(self, most: int, headers: dict[str, str]) -> Answer:
        try:
            answer = retry(lambda: fetched(self.url, most, headers))
        except BadItemError:
            raise
        except Exception as error:
            raise BadItemError(f"cannot be fetched: {summarize_error(error)}", FailureKind.TRANSIENT) from error
        check_size(len(answer.content), most)
        return answer

    def size(self) -> int:
        answer = self.ranged(0, 1)
        total = answer.headers.get("content-range", "").rpartition("/")[2]
        if not total.isdecimal():
            raise OSError("the server does not say how long it is")
        return int(total)

    def standing(self) -> str:
        return stamp_of(self.ranged(0, 1).headers)

    def part(self, start: int, size: int) -> bytes:
        return self.ranged(start, size).content[:size] if size else b""

    def ranged(self, start: int, size: int) -> Answer:
        wanted = {"Range": f"bytes={start}-{start + size - 1}"}
        try:
            answer = retry(lambda: fetched(self.url, size, wanted))
        except RefusedError as error:
            raise OSError(str(error)) from error
        told = answer.headers.get("content-range", "")
        if answer.status != PARTIAL or (answer.content and not told.startswith(f"bytes {start}-")):
            raise OSError("the server does not give parts of files, so fetch it first")
        return answer


def condition(known: str) -> dict[str, str]:
    """What asks for a file only if it has changed since."""
    kind, _, value = known.partition(" ")
    names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
    return {names[kind]: value} if kind in names else {}


def stamp_of(headers: Any) -> str:
    """A strong entity tag, or a time that lies well before the answer (RFC 9110, section 8.8)."""
    etag, modified, date = (headers.get(name, "") for name in ("etag", "last-modified", "date"))
    if etag and not etag.startswith("W/"):
        return f"etag {etag}"
    return f"modified {modified}" if modified and date and seconds(date) - seconds(modified) >= 60 else ""


def seconds(date: str) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


@functools.cache
def client() -> Any:
    """One for the process, so that connections are used again."""
    import httpx2 as httpx

    return httpx.Client(
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=MOST_AT_ONCE, max_keepalive_connections=MOST_AT_ONCE),
        headers={"Accept-Encoding": "identity", "User-Agent": "ita-pipeline"},
    )


def fetched(url: str, most: int, headers: dict[str, str]) -> Answer:
    """The answer at the end of at most so many redirects; of a body longer than `most`, a byte more than that.

    Raises:
        BadItemError: the server says that it is longer.
        RefusedError: it is an answer that nothing can be done with.
        OSError: another try may better it.
    """
    import httpx2 as httpx

    place = url
    for _ in range(MOST_REDIRECTS + 1):
        if urlsplit(place).scheme.lower() not in PROTOCOLS:
            raise RefusedError("it leads to what is no web address")
        try:
            with client().stream("GET", place, headers=headers) as response:
                if response.status_code not in REDIRECTS:
                    return answered(response, most)
                following = urljoin(place, response.headers.get("location", ""))
        except httpx.InvalidURL as error:
            raise RefusedError(f"this is no web address: {summarize_error(error)}") from error
        except httpx.TransportError as error:
            raise PassingError(summarize_error(error)) from error
        if place.lower().startswith("https:") and following.lower().startswith("http:"):
            raise RefusedError("it leads from https:// to http://")
        place = following
    raise RefusedError(f"more than {MOST_REDIRECTS} redirects")


def answered(response: Any, most: int) -> Answer:
    status, headers = response.status_code, response.headers
    if status in PASSING:
        raise PassingError(f"the server answered {status}")
    if status in (NOT_CHANGED, NO_SUCH_PART):
        return Answer(PARTIAL if status == NO_SUCH_PART else status, b"", headers)
    if status not in (200, PARTIAL):
        raise RefusedError(f"the server answered {status}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError("the server compressed it, though it was asked not to")
    length = headers.get("content-length", "")
    if status == 200 and length.isdecimal() and "range" not in response.request.headers:
        check_size(int(length), most)
    began, parts, size = time.monotonic(), [], 0
    for part in response.iter_raw():
        parts.append(part)
        size += len(part)
        if size > most:
            break
        if time.monotonic() - began > SECONDS_A_FILE:
            raise PassingError(f"it took longer than {SECONDS_A_FILE:.0f} s")
    return Answer(status, b"".join(parts)[: most + 1], headers)
