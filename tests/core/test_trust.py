"""Tests of whom the user trusts: how addresses are named, and the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.trust import (
    Trust,
    add_trust,
    explain_ignored,
    is_shared_cache_trusted,
    place_of,
    read_trust,
    remove_trust,
    trust_file,
    without_personal,
)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("api.example.org", "api.example.org"),
        ("https://API.example.org./v1", "api.example.org"),
        ("https://api.example.org:443/v1", "api.example.org"),
        ("https://api.example.org:8443/v1", "api.example.org:8443"),
        ("http://api.example.org/v1", "api.example.org:80"),
        ("http://api.example.org:443/v1", "http://api.example.org:443"),
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000"),
        ("localhost:11434", "localhost:11434"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("s3://bucket/ita-cache", "s3://bucket"),
        ("S3A://bucket/other", "s3://bucket"),
        ("gcs://bucket/x", "gs://bucket"),
        ("hf://datasets/me/cache/", "hf://datasets/me/cache"),
        ("sftp://me:secret@host/folder", "sftp://me@host/folder"),
        ("/mnt/team/../cache", "/mnt/cache"),
        ("file:///mnt/cache/", "/mnt/cache"),
    ],
)
def test_the_place_of_an_address(address: str, place: str):
    assert place_of(address) == place
    assert place_of(place) == place


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://",
        "https://a:b:c",
        "http://x:99999/",
        "a\x1bb",
        "аpi.example.org",
        "http://[::1]80",
        "http://.0",
    ],
)
def test_an_address_without_a_readable_host_is_refused(address: str):
    with pytest.raises(UsageError, match="names no host"):
        place_of(address)


def test_a_folder_that_cannot_be_found_is_refused():
    for address in ("~nobody-of-this-name/cache", "/mnt/\0"):
        with pytest.raises(UsageError, match="names no folder"):
            place_of(address)


@given(st.text(max_size=30))
def test_no_address_breaks_the_rule_and_no_place_has_another_place(address: str):
    for text in (address, f"http://{address}", f"s3://{address}"):
        try:
            place = place_of(text)
        except UsageError:
            continue
        assert place_of(place) == place


def test_trust_is_kept_in_a_private_file_and_can_be_taken_back():
    assert read_trust() == {}
    assert add_trust("https://api.example.org/v1", key=True) == "api.example.org"
    add_trust("localhost:11434")
    assert read_trust() == {"api.example.org": Trust(key=True), "localhost:11434": Trust()}
    assert trust_file().stat().st_mode & 0o777 == 0o600
    assert remove_trust("api.example.org") == "api.example.org"
    assert read_trust() == {"localhost:11434": Trust()}
    with pytest.raises(UsageError, match="is not trusted") as caught:
        remove_trust("localhost:11435")
    assert "did you mean localhost:11434?" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", '{"places": {"evil.example": {"key": "perhaps"}}}', '{"x": 1}'])
def test_a_damaged_file_trusts_nobody(content: str):
    trust_file().parent.mkdir(parents=True)
    trust_file().write_text(content)
    with pytest.raises(UsageError, match="is damaged"):
        read_trust()


def test_a_shared_cache_is_trusted_in_the_folder_itself_or_by_the_user(tmp_path: Path):
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    (project / "link").symlink_to(tmp_path)
    inside = [f"{project}/cache", f"file://{project}/sub/../cache"]
    outside = [
        f"{project}/../cache",
        f"{project}/link/cache",
        "/mnt/team/cache",
        "file:///mnt/team/cache",
        "s3://b/c",
    ]
    assert all(is_shared_cache_trusted(address, project) for address in inside)
    assert not any(is_shared_cache_trusted(address, project) for address in outside)
    for address in ("/mnt/team", "s3://b"):
        add_trust(address)
    assert [is_shared_cache_trusted(address, project) for address in outside] == [False, False, True, True, True]


def test_settings_that_only_the_user_can_give_are_left_out_and_named():
    stages = {"knowledge": {"model": "m", "consent": True, "key_variable": "SECRET"}, "ocr": {"page_mode": 6}}
    assert without_personal(stages) == {"knowledge": {"model": "m"}, "ocr": {"page_mode": 6}}
    ignored = explain_ignored(stages, "run.json")
    assert list(ignored) == ["knowledge.consent", "knowledge.key_variable"]
    message, hint = ignored["knowledge.consent"]
    assert message == "run.json: knowledge.consent is ignored, since only you can decide that"
    assert "ita config trust" in hint
