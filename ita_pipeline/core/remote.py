"""Other file systems, through fsspec: opened with time-outs, tried again by one rule, and wrong in a sentence.

Credentials are those that the file system's own library finds (environment, profile, instance), and nothing here
keeps or says them. The libraries' own repetitions are cut to one where they can be, so that trying again does not
multiply: whoever calls a file system does so through `attempt`.
"""

from __future__ import annotations

import functools
import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ita_pipeline.core.errors import MissingError, UsageError, UserError

URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")

WEB_PROTOCOLS = ("http", "https")

# The file systems that an extra of ours brings.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0

TRIES = 5

FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0

LONGEST_REASON = 200


# What trying again cannot change, and, by the names of their libraries, what it can.
SETTLED = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)

PASSING = {
    "OSError",
    "ConnectionError",
    "HTTPClientError",
    "IncompleteRead",
    "ResponseParserError",
    "HTTPError",
    "ClientError",
}

# Errors that say that nobody knows who is asking.
NAMELESS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"}


Answer = TypeVar("Answer")


def is_url(text: str) -> bool:
    return URL.match(text) is not None


def protocol_of(url: str) -> str:
    found = URL.match(url)
    return found[1].lower() if found else ""


def find_filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Nothing is asked of it yet.

    Raises:
        MissingError: the extra that brings it is not installed.
        UsageError: there is no such file system.
    """
    from fsspec.registry import get_filesystem_class

    protocol = protocol_of(url)
    try:
        kind = get_filesystem_class(protocol)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        hint = f"pip install 'ita-pipeline[{extra}]'" if extra else summarize_error(error)
        raise MissingError(f"{protocol}:// needs a library that is not installed", hint) from error
    except ValueError as error:
        hint = "known are s3://, gs://, hf://, https:// and what fsspec knows"
        raise UsageError(f"nothing is known that reads {protocol}://", hint) from error
    try:
        found = opened(kind, tuple(kind._get_kwargs_from_urls(url).items()))
    except Exception as error:  # libraries that look for credentials raise nearly anything
        raise as_user_error(error, url) from error
    return found, str(kind._strip_protocol(url))


@functools.cache
def opened(kind: Any, named: tuple[tuple[str, Any], ...]) -> Any:
    """One for all threads of the process, so that connections are used again."""
    protocols = (kind.protocol,) if isinstance(kind.protocol, str) else kind.protocol
    found = kind(**dict(named), **options(protocols[0]), skip_instance_cache=True)
    if hasattr(found, "retries"):
        found.retries = 1
    return found


def options(protocol: str) -> dict[str, Any]:
    """Time-outs for those that take them, over whatever `FSSPEC_…` in the environment or its files say."""
    if EXTRAS.get(protocol) != "s3":
        return {}
    from fsspec.config import conf

    given = conf.get(protocol, {}).get("config_kwargs", {})
    ours = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"max_attempts": 1, "mode": "standard"},
    }
    return {"config_kwargs": {**ours, **given}}


def retry(call: Callable[[], Answer], tries: int = TRIES) -> Answer:
    """What a call says, which is made again, a little later each time, where what went wrong may pass.

    Raises:
        Exception: whatever the last call raised.
    """
    for number in range(tries - 1):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
        time.sleep(random.uniform(0.5, 1) * min(LONGEST_WAIT, FIRST_WAIT * 2**number))
    return call()


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, SETTLED):
        return False
    return bool(PASSING & names_of(error))


def names_of(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def as_user_error(error: Exception, url: str) -> UserError:
    """What is wrong with a place as a whole, so that nothing can be done there."""
    place = without_query(url)
    if isinstance(error, UserError):
        return error
    if isinstance(error, FileNotFoundError):
        return UsageError(f"there is nothing at {place}", "a bucket's or folder's name may be misspelt")
    if isinstance(error, PermissionError) or NAMELESS & names_of(error):
        hint = "credentials are taken from where the library of the file system looks: see docs/sources.md"
        return MissingError(f"{place} may not be read: {summarize_error(error)}", hint)
    if is_transient(error):
        return MissingError(
            f"{place} does not answer: {summarize_error(error)}", "try again, or see docs/sources.md"
        )
    return UsageError(f"{place} cannot be read: {summarize_error(error)}", "docs/sources.md says what can be")


def summarize_error(error: BaseException) -> str:
    """An error on one line, without the part of an address that may hold a secret."""
    if isinstance(error, TimeoutError) and not str(error).strip():
        return "it took too long"
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"\?[^\s\"'<>)]+", "?…", text)
    text = re.sub(r"(?<=://)[^/\s@]+@", "", text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def without_query(url: str) -> str:
    """An address as it may be shown: queries hold signatures, and a name before the host a password.

    Only a web address has a query; elsewhere a question mark is a character like others.
    """
    if protocol_of(url) in WEB_PROTOCOLS:
        url = re.sub(r"[?#].*", "", url, flags=re.DOTALL)
    return re.sub(r"(?<=://)[^/\s@]+@", "", url)
