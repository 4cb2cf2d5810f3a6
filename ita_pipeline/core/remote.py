# fsspec has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Access other file systems through fsspec, with timeouts, retries and errors in one sentence.

The library of a file system finds credentials itself (environment, profile, instance); nothing here stores or shows
them. Where possible the libraries' own retries are switched off, so that they do not multiply: every call of a file
system goes through `retry`.
"""

from __future__ import annotations

import functools
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ita_pipeline.core.errors import MissingError, UsageError, UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

WEB_PROTOCOLS = ("http", "https")

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")

# The extras of this package that install a file system.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}

_MAX_REASON_LENGTH = 200

# A retry cannot change these errors.
_PERMANENT_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)

# A retry may change these errors, here by name since their libraries are optional.
_TRANSIENT_ERRORS = {
    "OSError",
    "ConnectionError",
    "HTTPClientError",
    "IncompleteRead",
    "ResponseParserError",
    "HTTPError",
    "ClientError",
}

_CREDENTIAL_ERRORS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
}

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How long requests may take, in seconds, and how often they are tried.

    Waits between tries double from `first_wait` to `max_wait`. `file_seconds` limits the transfer of one file.
    """

    tries: int = 5
    first_wait: float = 0.25
    max_wait: float = 8.0
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    file_seconds: float = 120.0


REQUEST_LIMITS = RequestLimits()


def is_url(text: str) -> bool:
    """Whether a text begins with a protocol and `://`."""
    return _URL.match(text) is not None


def protocol_of(url: str) -> str:
    """Return the protocol of a URL in lower case; empty for other texts."""
    match = _URL.match(url)
    return match[1].lower() if match else ""


def find_filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it, without a request.

    Raises:
        MissingError: the extra that installs the file system is missing.
        UsageError: the protocol is unknown.
    """
    from fsspec.core import strip_protocol
    from fsspec.registry import get_filesystem_class

    protocol = protocol_of(url)
    try:
        system_class: Any = get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'ita-pipeline[{extra}]'" if extra else summarize_error(error)
        raise MissingError(f"{protocol}:// needs a library that is not installed", hint) from error
    except ValueError as error:
        hint = "known are s3://, gs://, hf://, https:// and what fsspec knows"
        raise UsageError(f"{protocol}:// is not a supported protocol", hint) from error
    try:
        options = tuple(system_class._get_kwargs_from_urls(url).items())  # noqa: SLF001
        system = open_filesystem(system_class, options)
    except Exception as error:  # libraries that look for credentials raise anything
        raise as_user_error(error, url) from error
    return system, str(strip_protocol(protocol + url[len(protocol) :]))


@functools.cache
def open_filesystem(system_class: type[Any], options: tuple[tuple[str, Any], ...]) -> AbstractFileSystem:
    """Open a file system that all threads of the process share, so that connections are reused."""
    kind = system_class.protocol
    protocol = kind if isinstance(kind, str) else kind[0]
    system = system_class(**dict(options), **_timeouts(protocol), skip_instance_cache=True)
    if hasattr(system, "retries"):
        system.retries = 1
    return system


def _timeouts(protocol: str) -> dict[str, Any]:
    """Return timeouts for file systems that accept them; values of `FSSPEC_…` go over ours."""
    if _EXTRAS.get(protocol) != "s3":
        return {}
    from fsspec.config import conf

    ours = {
        "connect_timeout": REQUEST_LIMITS.connect_seconds,
        "read_timeout": REQUEST_LIMITS.read_seconds,
        "retries": {"max_attempts": 1, "mode": "standard"},
    }
    return {"config_kwargs": {**ours, **conf.get(protocol, {}).get("config_kwargs", {})}}


def retry(call: Callable[[], _Result], limits: RequestLimits = REQUEST_LIMITS) -> _Result:
    """Return the result of a call, which is repeated with growing waits after errors that may pass.

    Raises:
        Exception: the error of the last call.
    """
    for number in range(limits.tries - 1):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
        time.sleep(random.uniform(0.5, 1) * min(limits.max_wait, limits.first_wait * 2**number))
    return call()


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return not isinstance(error, _PERMANENT_ERRORS) and bool(_TRANSIENT_ERRORS & _class_names(error))


def lacks_credentials(error: BaseException) -> bool:
    """Whether a library misses credentials."""
    return bool(_CREDENTIAL_ERRORS & _class_names(error))


def _class_names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def as_user_error(error: Exception, url: str) -> UserError:
    """Return the error to show when a location as a whole cannot be used."""
    if isinstance(error, UserError):
        return error
    location, reason = without_query(url), summarize_error(error)
    if isinstance(error, FileNotFoundError):
        what = f"there is nothing at {location}" if is_url(url) else f"there is no file {location}"
        return MissingError(what, "check the name of the bucket or folder" if is_url(url) else "check the path")
    if isinstance(error, PermissionError) or lacks_credentials(error):
        hint = "set credentials where the library of this file system looks for them; see docs/sources.md"
        return MissingError(f"access to {location} is denied: {reason}", hint)
    if is_url(url) and is_transient(error):
        return MissingError(f"{location} does not answer: {reason}", "try again, or see docs/sources.md")
    return UsageError(f"{location} cannot be read: {reason}", "docs/sources.md lists what can be read")


def summarize_error(error: BaseException) -> str:
    """Describe an error on one line, without the part of an address that may hold a secret."""
    if isinstance(error, TimeoutError) and not str(error).strip():
        return "it took too long"
    text = re.sub(r"\[Errno -?\d+\] ", "", " ".join(str(error).split())) or type(error).__name__
    text = text.replace("All connection attempts failed", "the connection was refused")
    text = _without_login(re.sub(r"\?[^\s\"'<>)]+", "?…", text))
    return text if len(text) <= _MAX_REASON_LENGTH else f"{text[:_MAX_REASON_LENGTH]}…"


def without_query(url: str) -> str:
    """Return an address that may be shown: queries hold signatures, and logins passwords.

    Only a web address has a query. In other addresses a question mark is an ordinary character.
    """
    if protocol_of(url) in WEB_PROTOCOLS:
        url = re.sub(r"[?#].*", "", url, flags=re.DOTALL)
    return _without_login(url)


def _without_login(text: str) -> str:
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)
