"""Tests of other file systems: which exist, which errors are retried, and which text is never shown."""

from __future__ import annotations

import pytest

from ita_pipeline.core import remote
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.remote import RequestLimits

QUICK = RequestLimits(first_wait=0.001)


class Flaky:
    """Fails with these errors, one a call, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_transient_errors_are_retried():
    flaky = Flaky(ConnectionResetError("reset"), TimeoutError(), OSError("503 slow down"))
    assert remote.retry(flaky, QUICK) == "done"
    assert flaky.calls == 4


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), ValueError("x")])
def test_permanent_errors_are_not_retried(error: Exception):
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        remote.retry(flaky, QUICK)
    assert flaky.calls == 1


def test_retries_end_after_the_last_try():
    flaky = Flaky(*[OSError("down")] * 99)
    with pytest.raises(OSError, match="down"):
        remote.retry(flaky, RequestLimits(tries=3, first_wait=0.001))
    assert flaky.calls == 3


def test_a_url_names_a_file_system():
    found, path = remote.find_filesystem("memory://folder/a.png")
    found.pipe_file(path, b"here")
    assert remote.find_filesystem("MEMORY://folder/a.png")[0].cat_file(path) == b"here"


def test_a_missing_or_unknown_file_system_is_named_with_a_remedy():
    with pytest.raises(MissingError) as missing:
        remote.find_filesystem("gs://bucket/folder")
    assert missing.value.hint == "pip install 'ita-pipeline[gcs]'"
    with pytest.raises(UsageError, match="soup://"):
        remote.find_filesystem("soup://bucket/folder")


def test_secrets_are_not_shown():
    secret = "https://me:word@host/a.jpg?X-Amz-Signature=abc&X=def"
    for text in (remote.without_query(secret), remote.summarize_error(OSError(f"cannot open '{secret}' now"))):
        assert "abc" not in text
        assert "def" not in text
        assert "word" not in text
        assert "host/a.jpg" in text
    assert remote.without_query("s3://bucket/a?b.jpg") == "s3://bucket/a?b.jpg"
    assert len(remote.summarize_error(OSError("x" * 5000))) < 300
