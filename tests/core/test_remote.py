"""File systems elsewhere: which there are, what is tried again, and what is never said."""

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


def test_what_may_pass_is_tried_again():
    flaky = Flaky(ConnectionResetError("reset"), TimeoutError(), OSError("503 slow down"))
    assert remote.retry(flaky, QUICK) == "done"
    assert flaky.calls == 4


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), ValueError("x")])
def test_what_stays_as_it_is_is_asked_once(error: Exception):
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        remote.retry(flaky, QUICK)
    assert flaky.calls == 1


def test_it_ends_after_so_many_tries():
    flaky = Flaky(*[OSError("down")] * 99)
    with pytest.raises(OSError, match="down"):
        remote.retry(flaky, RequestLimits(tries=3, first_wait=0.001))
    assert flaky.calls == 3


def test_a_file_system_is_found_by_its_url():
    found, path = remote.find_filesystem("memory://folder/a.png")
    found.pipe_file(path, b"here")
    assert remote.find_filesystem("MEMORY://folder/a.png")[0].cat_file(path) == b"here"


def test_what_is_not_installed_or_known_is_said_with_what_mends_it():
    with pytest.raises(MissingError) as missing:
        remote.find_filesystem("gs://bucket/folder")
    assert missing.value.hint == "pip install 'ita-pipeline[gcs]'"
    with pytest.raises(UsageError, match="soup://"):
        remote.find_filesystem("soup://bucket/folder")


def test_secrets_are_not_said():
    secret = "https://me:word@host/a.jpg?X-Amz-Signature=abc&X=def"
    for text in (remote.without_query(secret), remote.summarize_error(OSError(f"cannot open '{secret}' now"))):
        assert "abc" not in text
        assert "def" not in text
        assert "word" not in text
        assert "host/a.jpg" in text
    assert remote.without_query("s3://bucket/a?b.jpg") == "s3://bucket/a?b.jpg"
    assert len(remote.summarize_error(OSError("x" * 5000))) < 300
