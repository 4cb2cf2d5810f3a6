"""Datasets of the hub: one request, and a clear error if the hub does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ita_pipeline.core.errors import MissingError
from ita_pipeline.sources.hub_datasets import find_split, load, split_from_name


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import HfApi, errors

    asked: list[str] = []

    def fail(_: HfApi, name: str, **options: Any) -> None:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.setattr(HfApi, "dataset_info", fail)
    with pytest.raises(MissingError, match="no folder owner/x, and the hub does not answer"):
        load("owner/x")
    assert asked == ["owner/x"]

    def unknown(*_: Any, **options: Any) -> None:
        raise errors.RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "dataset_info", unknown)
    with pytest.raises(MissingError, match="the hub has no such dataset"):
        load("owner/x")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("testa.txt", "dev"),
        ("valid.txt", "dev"),
        ("DEV", "dev"),
        ("test.bio", "test"),
        ("x", None),
    ],
)
def test_the_split_of_a_file_name_is_that_of_kb_ner(name: str, split: str | None):
    assert find_split(name) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("dev", "dev"),
        ("val", "dev"),
        ("validation", "dev"),
        ("test", "test"),
        ("default", "train"),
    ],
)
def test_a_split_without_a_known_name_is_train(name: str, split: str):
    assert split_from_name(name) == split
