"""Endpoints: which addresses are refused, and what never travels in clear."""

from __future__ import annotations

import pytest

from stages.base import StageError
from stages.llm.endpoint import Endpoint, is_loopback


@pytest.mark.parametrize("key", ["sk-ü", "sk-\n2"])
def test_an_invalid_key_is_an_error_that_does_not_show_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITA_API_KEY", key)
    with pytest.raises(StageError, match="ITA_API_KEY") as error:
        Endpoint(url="http://localhost/v1", model="m").check()
    assert key not in str(error.value)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://localhost/v1", "no address"),
        ("localhost:8000", "no address"),
        ("http://", "no address"),
        ("http://me:secret@localhost/v1", "password"),
        ("http://localhost/v1?key=secret", "query"),
        ("https://api.example.org/v1", "agreed"),
    ],
)
def test_an_invalid_address_is_an_error(url: str, word: str) -> None:
    with pytest.raises(StageError, match=word) as error:
        Endpoint(url=url, model="m").check()
    assert "secret" not in str(error.value)


def test_a_key_is_not_sent_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITA_API_KEY", "sk-secret-0123456789")
    Endpoint(url="https://api.example.org/v1", model="m", consent=True).check()
    with pytest.raises(StageError, match="in clear"):
        Endpoint(url="http://api.example.org/v1", model="m", consent=True).check()


def test_loopback_hosts_are_this_machine() -> None:
    assert all(map(is_loopback, ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1"]))
    assert not any(map(is_loopback, ["localhost.example.org", "128.0.0.1", "10.0.0.1", "0.0.0.0", "", "::2"]))
