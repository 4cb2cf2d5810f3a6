"""Read HTTP responses of an endpoint: a reply, or whether to retry, fail the item, or stop using the endpoint."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import httpx2 as httpx
from pydantic import BaseModel, Field, ValidationError

from stages.base import FailureKind, describe_invalid, replace_surrogates
from stages.llm.messages import Reply, Usage, estimate_text_tokens, has_text

# The server is running but cannot answer any request now.
UNAVAILABLE = frozenset({429, 502, 503, 529})

RETRYABLE = frozenset({408, 425, 504, *UNAVAILABLE})

# The address, the model's name or the key is wrong, not the question.
REFUSALS = frozenset({401, 403, 404, 405, 410})

LOOP_DETECTED = 508

# Maximum length of a server's own error message in ours, in characters.
MAX_ERROR_LENGTH = 200

# A shorter part of a key in base64 could be anything.
MIN_ENCODED_LENGTH = 8


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


class CompletionMessage(BaseModel):
    """The message in a choice of a completion."""

    content: str | None = None
    refusal: str | None = None


class CompletionChoice(BaseModel):
    """One of the answers in a completion."""

    message: CompletionMessage
    finish_reason: str | None = None


class TokenCounts(BaseModel):
    """The server's token counts in a completion."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)] = 0


class Completion(BaseModel):
    """The fields of a response that are read; servers add others."""

    choices: Annotated[list[CompletionChoice], Field(min_length=1)]
    model: str = ""
    usage: TokenCounts | None = None


def parse_reply(content: bytes, prompt_tokens: int) -> RequestOutcome:
    """Return the outcome of a response with status 200: a reply, unless it has another format or contains no text.

    Args:
        content: The body.
        prompt_tokens: An estimate for servers that do not count tokens.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return RequestOutcome("the endpoint answered with something that is no JSON", is_retryable=True)
    if isinstance(data, dict) and data.get("error") and "choices" not in data:
        return RequestOutcome(f"the endpoint answered: {find_error(data)}", is_retryable=True)
    try:
        completion = Completion.model_validate(data)
    except ValidationError as error:
        reason = f"the endpoint answered in another form: {describe_invalid(error)}"
        return RequestOutcome(reason, kind=FailureKind.PERMANENT)
    choice = completion.choices[0]
    finish = tidy_text(choice.finish_reason or "")
    text = replace_surrogates(choice.message.content or "").strip()
    if has_text(text):
        if completion.usage is None:
            tokens = estimate_text_tokens(text)
            usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens, estimated=True)
        else:
            usage = Usage(**completion.usage.model_dump())
        return RequestOutcome("", reply=Reply(text, tidy_text(completion.model), finish, usage))
    if choice.message.refusal or finish == "content_filter":
        return RequestOutcome("the model refused to answer", kind=FailureKind.PERMANENT)
    return RequestOutcome(f"the model answered with no text (finish: {finish})")


def classify_response(response: httpx.Response, content: bytes, host: str, key_variable: str) -> RequestOutcome:
    """Return what a status other than 200 means.

    Args:
        response: The response, whose body may not have been read.
        content: The body; empty if it is too long.
        host: The host for messages.
        key_variable: The environment variable that holds the API key; empty if no key may be sent.
    """
    status = response.status_code
    message = ""
    with contextlib.suppress(ValueError, RecursionError):
        message = find_error(json.loads(content))
    reason = f"{host} answered {status}{f': {message}' if message else ''}"
    if 300 <= status < 400 or status == LOOP_DETECTED:
        return report_redirect(host, response.headers.get("location", ""))
    if status in (401, 403):
        hint = f"export {key_variable}=… with a key that {host} accepts"
        if not key_variable:
            hint = (
                f"no key was sent, as you did not name this address; ita config trust {host} --key agrees to that"
            )
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
            wait=parse_retry_after(response.headers.get("retry-after"), response.headers.get("date")),
        )
    return RequestOutcome(reason, kind=FailureKind.PERMANENT)


def report_redirect(host: str, location: str = "") -> RequestOutcome:
    """Return the outcome of a redirect that is not followed."""
    target = f" to {tidy_text(location)}" if location else ""
    hint = "if that is right, make it the endpoint"
    return RequestOutcome(f"{host} redirects{target}", hint, is_refusal=True, is_fatal=True)


def find_error(data: Any) -> str:
    """Return the error message in a response: `{"error": {"message": …}}`, `{"error": …}` or `{"detail": …}`."""
    error = data.get("error", data.get("detail", "")) if isinstance(data, dict) else ""
    if isinstance(error, dict):
        error = error.get("message", "")
    return tidy_text(error if isinstance(error, str) else "")


def hide_in_json(content: bytes, key: str) -> bytes:
    """Return a body with `[key]` in place of an API key in its strings; unchanged if it is no JSON."""
    try:
        return json.dumps(_hide_in_strings(json.loads(content), key)).encode()
    except (ValueError, RecursionError):
        return content


def _hide_in_strings(data: Any, key: str) -> Any:
    if isinstance(data, str):
        return hide_key(data, key)
    if isinstance(data, list):
        return [_hide_in_strings(item, key) for item in data]
    if isinstance(data, dict):
        return {hide_key(name, key): _hide_in_strings(item, key) for name, item in data.items()}
    return data


def hide_key(text: str, key: str) -> str:
    """Return a text with `[key]` for an API key: in any case, percent-encoded, in hexadecimal or in base64."""
    return _key_pattern(key).sub("[key]", text)


@functools.lru_cache(8)
def _key_pattern(key: str) -> re.Pattern[str]:
    characters = [f"(?:%(?:25)*{ord(character):02x}|{re.escape(character)})" for character in key]
    patterns = ["".join(characters), key.encode().hex()]
    for before in range(
        3
    ):  # in a longer text, base64 has three forms; letters at its ends depend on what is beside
        encoded = base64.b64encode(b"\0" * before + key.encode()).decode()
        core = encoded[(before * 8 + 5) // 6 : (before + len(key)) * 8 // 6]
        if len(core) >= MIN_ENCODED_LENGTH:
            patterns.append("".join({"+": "[+-]", "/": "[/_]"}.get(letter, letter) for letter in core))
    return re.compile("|".join(patterns), re.IGNORECASE)


def tidy_text(text: str) -> str:
    """Return a server's text as one short printable line."""
    printable = "".join(c if c.isprintable() else " " for c in replace_surrogates(text))
    return re.sub(r"\s+", " ", printable).strip()[:MAX_ERROR_LENGTH]


def parse_retry_after(header: str | None, date: str | None = None, now: datetime | None = None) -> float | None:
    """Return the seconds in a `Retry-After` header of seconds or a date (RFC 9110, section 10.2.3), else None.

    Args:
        header: The value of `Retry-After`.
        date: The value of `Date`, the server's clock, which a date in `header` refers to.
        now: The time to use without a `date`.
    """
    if header is None:
        return None
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", header):
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
