"""Classify HTTP responses without a reply: retry, fail the item, or stop using the endpoint."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from stages.base import FailureKind
from stages.llm.messages import Reply, find_error, tidy_text

# The server is running but cannot answer any request now.
UNAVAILABLE = frozenset({429, 502, 503, 529})

RETRYABLE = frozenset({408, 425, 504, *UNAVAILABLE})

# The address, the model's name or the key is wrong, not the question.
REFUSALS = frozenset({401, 403, 404, 405, 410})

TOO_MANY_REDIRECTS = 508


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response that was read up to the size limit.

    Attributes:
        status: The HTTP status.
        content: The body; empty if `is_too_long`.
        wait: The `Retry-After` in seconds.
        is_too_long: Whether the body is longer than the limit.
        location: The target of a redirect.
    """

    status: int
    content: bytes
    wait: float | None = None
    is_too_long: bool = False
    location: str = ""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The outcome of one request: a `reply`, or the reason why there is none.

    Attributes:
        reason: What went wrong.
        hint: The remedy.
        kind: The kind of the item's failure.
        is_retryable: Whether another try may succeed.
        is_unavailable: Whether the server would not have answered any other request either.
        is_timeout: Whether the response did not come in time.
        is_busy: Whether the server received too many requests at once.
        is_refusal: Whether the endpoint rejects requests of this form.
        is_fatal: Whether such a refusal ends the run even after successes.
        wait: Seconds that the server wants to be left alone.
        reply: The answer.
    """

    reason: str
    hint: str = ""
    kind: FailureKind = FailureKind.TRANSIENT
    is_retryable: bool = False
    is_unavailable: bool = False
    is_timeout: bool = False
    is_busy: bool = False
    is_refusal: bool = False
    is_fatal: bool = False
    wait: float | None = None
    reply: Reply | None = None


def classify_response(response: HttpResponse, host: str, key_variable: str) -> RequestOutcome:
    """Return what a status other than 200 means."""
    status = response.status
    message = ""
    with contextlib.suppress(ValueError, RecursionError):
        message = find_error(json.loads(response.content))
    reason = f"{host} answered {status}{f': {message}' if message else ''}"
    if 300 <= status < 400 or status == TOO_MANY_REDIRECTS:
        target = f" to {tidy_text(response.location)}" if response.location else ""
        hint = "if that is right, make it the endpoint"
        return RequestOutcome(f"{host} redirects{target}", hint, is_refusal=True, is_fatal=True)
    if status in (401, 403):
        hint = f"export {key_variable}=… with a key that {host} accepts"
        return RequestOutcome(reason, hint, FailureKind.PERMANENT, is_refusal=True, is_fatal=status == 401)
    if status in REFUSALS:
        hint = "check endpoint, which ends in /v1, and model"
        return RequestOutcome(reason, hint, FailureKind.PERMANENT, is_refusal=True)
    if status in RETRYABLE or status >= 500:
        return RequestOutcome(
            reason,
            "the same command goes on where it stopped",
            is_retryable=True,
            is_unavailable=status in UNAVAILABLE,
            is_busy=status in (429, 503),
            wait=response.wait,
        )
    return RequestOutcome(reason, kind=FailureKind.PERMANENT)


def parse_retry_after(header: str | None, date: str | None = None, now: datetime | None = None) -> float | None:
    """Return the seconds in a `Retry-After` header of seconds or a date (RFC 9110, section 10.2.3), else None.

    Args:
        header: The value of `Retry-After`.
        date: The value of `Date`, the server's clock, which a date in `header` refers to.
        now: The time to use without a `date`.
    """
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d*)?", header.strip()):
        return float(header)
    until = _parse_date(header)
    if until is None:
        return None
    since = _parse_date(date) or now or datetime.now(UTC)
    seconds = (until - since).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _parse_date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
