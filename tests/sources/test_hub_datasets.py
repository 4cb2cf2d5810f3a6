"""Datasets of the hub: one request, and a clear error if the hub does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ita_pipeline.core.errors import MissingError
from ita_pipeline.sources.hub_datasets import load


def test_the_hub_is_asked_once_and_its_silence_told(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import HfApi, errors

    asked: list[str] = []

    def silent(_: HfApi, name: str, **options: Any) -> None:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    monkeypatch.setattr(HfApi, "dataset_info", silent)
    with pytest.raises(MissingError, match="no folder owner/x, and the hub does not answer"):
        load("owner/x")
    assert asked == ["owner/x"]

    def unknown(*_: Any, **options: Any) -> None:
        raise errors.RepositoryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "dataset_info", unknown)
    with pytest.raises(MissingError, match="the hub knows no such dataset"):
        load("owner/x")
