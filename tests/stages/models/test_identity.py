"""Models by name or folder: which exact weights a name stands for, with and without the hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.base import StageError
from stages.models.identity import find_local_commit, identify
from stages.objects.hub_detectors import HubDetector
from tests.support.hub_cache import COMMIT, cache_model
from tests.support.tiny_models import build_yolos


@pytest.fixture(scope="module")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_yolos(tmp_path_factory.mktemp("yolos"))


@pytest.fixture
def folder(yolos: Path, tmp_path: Path) -> Path:
    """A detector of which the test may change any file."""
    return shutil.copytree(yolos, tmp_path / "model")


@pytest.mark.parametrize("name", ["./no-such-model", "/no/such/model", "~/model"])
def test_a_missing_folder_is_an_error_that_names_it(name: str):
    with pytest.raises(StageError, match="no model folder") as raised:
        identify(name)
    assert "safetensors" in raised.value.hint


def test_a_model_that_is_not_on_this_machine_is_an_error_with_a_hint(offline: Path):
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set") as raised:
        identify("owner/model-nobody-has")
    assert "another model or preset" in raised.value.hint
    assert "hf download owner/model-nobody-has" in raised.value.hint


@pytest.mark.parametrize("name", ["two words", "a/b/c", "owner/"])
def test_an_invalid_model_name_is_an_error(name: str, offline: Path):
    with pytest.raises(StageError, match="not the name of a model"):
        identify(name)


def test_a_downloaded_model_is_identified_by_its_commit(offline: Path, yolos: Path):
    cached = cache_model(offline, "owner/detector", yolos)
    identity = identify("owner/detector")
    assert identity == f"owner/detector@{COMMIT}"
    # The branch has moved on, but what was identified is what is loaded.
    (cached / "refs" / "main").write_text("f" * 40)
    assert HubDetector("owner/detector", identity, "cpu").model.config.num_detection_tokens == 12
    with pytest.raises(StageError):
        identify("owner/detector")


def test_the_digest_of_a_folder_ignores_subfolders(folder: Path):
    before = identify(str(folder))
    (folder / "more.json").mkdir()
    assert identify(str(folder)) == before


def test_the_digest_of_a_folder_depends_on_file_names(folder: Path):
    before = identify(str(folder))
    (folder / "preprocessor_config.json").rename(folder / "processor.json")
    assert identify(str(folder)) != before


class FakeHub:
    """The hub's answers for one model whose main branch has pickles only."""

    def __init__(self, author: str) -> None:
        self.author = author

    def model_info(self, model: str, revision: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename="pytorch_model.bin")], sha="a" * 40)

    def get_repo_discussions(self, model: str, **_: str) -> list[SimpleNamespace]:
        title = "Adding `safetensors` variant of this model"
        return [SimpleNamespace(author=self.author, status="open", title=title, num=7)]


@pytest.mark.parametrize(("author", "reference"), [("SFconvertbot", "refs/pr/7"), ("somebody", "main")])
def test_only_the_conversion_by_the_hub_itself_replaces_pickled_weights(
    author: str, reference: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[str] = []

    def download(model: str, name: str, revision: str) -> str:
        asked.append(revision)
        return str(tmp_path / "snapshots" / ("c" * 40) / name)

    hub = FakeHub(author)
    monkeypatch.setattr("huggingface_hub.model_info", hub.model_info)
    monkeypatch.setattr("huggingface_hub.get_repo_discussions", hub.get_repo_discussions)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert identify("owner/blip") == f"owner/blip@{'c' * 40}"
    assert asked == [reference]


@pytest.mark.parametrize("reference", ["main", "refs/pr/7"])
def test_a_cached_model_is_found_without_the_hub(reference: str, offline: Path, tmp_path: Path):
    (tmp_path / "blip").mkdir()
    (tmp_path / "blip" / "config.json").write_text("{}")
    cached = cache_model(offline, "owner/blip", tmp_path / "blip", reference)
    assert find_local_commit("owner/blip") is None, "weights are missing"
    (cached / "snapshots" / COMMIT / "model.safetensors").write_text("")
    assert find_local_commit("owner/blip") == COMMIT
