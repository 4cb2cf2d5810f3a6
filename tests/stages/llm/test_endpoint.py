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
        ("ftp://localhost/v1", "not a URL"),
        ("localhost:8000", "not a URL"),
        ("http://", "not a URL"),
        ("http://[::1]8000/v1", "not a URL"),
        ("http://a%2eb/v1", "not a URL"),
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
    with pytest.raises(StageError, match="sent unencrypted"):
        Endpoint(url="http://api.example.org/v1", model="m", consent=True).check()


def test_an_address_that_the_user_did_not_name_needs_consent_on_this_machine_too_and_gets_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ITA_API_KEY", "sk-secret-0123456789")
    with pytest.raises(StageError, match="you have not agreed to send anything to 127"):
        Endpoint(url="http://127.0.0.1:1/v1", model="m", suggested=True).check()
    agreed = Endpoint(url="http://127.0.0.1:1/v1", model="m", suggested=True, consent=True)
    agreed.check()
    assert agreed.read_key() == ""
    assert Endpoint(url="http://127.0.0.1:1/v1", model="m").read_key() == "sk-secret-0123456789"


def test_loopback_hosts_are_this_machine() -> None:
    assert all(map(is_loopback, ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1"]))
    assert not any(map(is_loopback, ["localhost.example.org", "128.0.0.1", "10.0.0.1", "0.0.0.0", "", "::2"]))
