"""Uploads of exported models to a stand-in for the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.runs.push import push_model
from tests.support.fakes import ita_here
from tests.support.hub_server import HubServer, Repository, hub_server

CARD = "---\nlibrary_name: ita-pipeline\n---\nA model.\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server(monkeypatch) as server:
        yield server


@pytest.fixture
def model() -> Path:
    folder = Path("model")
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    return folder


def test_a_new_repository_is_private_and_has_all_files(hub: HubServer, model: Path):
    assert push_model(model, "ada/ashby") == f"{hub.url}/ada/ashby"
    files = {file.name: file.read_bytes() for file in model.iterdir()}
    assert hub.repositories == {"ada/ashby": Repository(True, files)}
    (model / "README.md").write_text(CARD + "Better.\n")
    push_model(model, "ada/ashby")
    assert hub.repositories["ada/ashby"].files["README.md"].endswith(b"Better.\n")


def test_only_the_option_publishes(hub: HubServer, model: Path):
    push_model(model, "ada/seen", public=True)
    assert not hub.repositories["ada/seen"].is_private
    hub.repositories["ada/seen"].files.clear()
    with pytest.raises(UsageError, match="ada/seen is public") as raised:
        push_model(model, "ada/seen")
    assert "--public" in raised.value.hint
    assert hub.repositories["ada/seen"].files == {}


def test_a_name_without_an_owner_is_in_the_own_space(hub: HubServer, model: Path):
    assert push_model(model, "ashby") == f"{hub.url}/me/ashby"


def test_the_token_is_the_one_of_the_library(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(UsageError, match="the hub refuses the token: Invalid token") as raised:
        push_model(model, "ada/ashby")
    assert "hf auth login" in raised.value.hint
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "none")
    hub.requests.clear()
    with pytest.raises(MissingError, match="there is no token"):
        push_model(model, "ada/ashby")
    assert hub.requests == []


def test_a_hub_that_is_off_or_away_is_one_sentence(hub: HubServer, model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingError, match="9/ada/ashby was not reached"):
        push_model(model, "ada/ashby")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        push_model(model, "ada/ashby")


@pytest.mark.parametrize("name", ["a/b/c", "-x", "a b", "../x", ""])
def test_an_impossible_name_is_refused_before_anything_is_done(name: str):
    answer = ita_here("export-model", "example", f"--push={name}", "--to", "new")
    assert answer.code == 2
    assert "is no name of a repository" in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "give --to, --push, or both"), (("--public", "--to", "x"), "requires --push")]
)
def test_options_that_do_not_fit_are_explained(arguments: tuple[str, ...], message: str):
    answer = ita_here("export-model", "example", *arguments)
    assert (answer.code, message in answer.err) == (2, True)
