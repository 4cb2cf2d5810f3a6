"""What an HTTP answer without a reply means: to be asked again, a failure of the item, or of the endpoint."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from stages.base import FailureKind
from stages.llm.messages import Reply, error_in, tidy

# The server is there but cannot answer anybody now.
UNAVAILABLE = frozenset({429, 502, 503, 529})

AGAIN = frozenset({408, 425, 504, *UNAVAILABLE})

# The address, the model's name or the key are wrong, rather than the question.
REFUSALS = frozenset({401, 403, 404, 405, 410})


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer; `wait` is its `Retry-After` in seconds, and `too_long` has lost its content."""

    status: int
    content: bytes
    wait: float | None = None
    too_long: bool = False
    location: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one request came to: a `reply`, or the reason why there is none.

    `again`: asking again may help. `unavailable`: nobody would have been answered. `busy`: too much was asked at
    once. `refusal`: the endpoint is not to be asked in this way, at all where it is `fatal`.
    """

    reason: str
    hint: str = ""
    kind: FailureKind = FailureKind.TRANSIENT
    again: bool = False
    unavailable: bool = False
    busy: bool = False
    refusal: bool = False
    fatal: bool = False
    wait: float | None = None
    reply: Reply | None = None

    def said(self, reason: str) -> Verdict:
        return replace(self, reason=reason)


def judge(answer: Answer, where: str, key_variable: str) -> Verdict:
    """What a status other than 200 means."""
    status = answer.status
    said = said_in(answer.content)
    reason = f"{where} answered {status}{f': {said}' if said else ''}"
    if 300 <= status < 400 or status == 508:
        target = f" to {tidy(answer.location)}" if answer.location else ""
        hint = "if that is right, make it the endpoint"
        return Verdict(f"{where} redirects{target}", hint, refusal=True, fatal=True)
    if status in (401, 403):
        hint = f"export {key_variable}=… with a key that {where} accepts"
        return Verdict(reason, hint, FailureKind.PERMANENT, refusal=True, fatal=status == 401)
    if status in REFUSALS:
        hint = "check endpoint, which ends in /v1, and model"
        return Verdict(reason, hint, FailureKind.PERMANENT, refusal=True)
    if status in AGAIN or status >= 500:
        return Verdict(
            reason,
            "the same command goes on where it stopped",
            again=True,
            unavailable=status in UNAVAILABLE,
            busy=status in (429, 503),
            wait=answer.wait,
        )
    return Verdict(reason, kind=FailureKind.PERMANENT)


def said_in(content: bytes) -> str:
    """The error that a server names in its answer, or nothing."""
    with contextlib.suppress(ValueError, RecursionError):
        return error_in(json.loads(content))
    return ""


def retry_after(header: str | None, date: str | None = None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a `Retry-After` of seconds or of a date (RFC 9110, section 10.2.3); None for any other.

    A date is meant by the server's clock, which `date`, its `Date` header, tells.
    """
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d*)?", header.strip()):
        return float(header)
    until = as_date(header)
    if until is None:
        return None
    since = as_date(date) or now or datetime.now(UTC)
    seconds = (until - since).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def as_date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
