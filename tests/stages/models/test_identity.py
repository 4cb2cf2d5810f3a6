"""Models by name or folder: which exact weights a name stands for, with and without the hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.base import StageError
from stages.models.identity import find_local_commit, identify
from stages.objects.hub_detectors import HubDetector
from tests.support.tiny_models import build_yolos

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_yolos(tmp_path_factory.mktemp("yolos"))


@pytest.fixture
def folder(yolos: Path, tmp_path: Path) -> Path:
    """A detector of which the test may change any file."""
    return shutil.copytree(yolos, tmp_path / "model")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The empty hub cache of a machine with HF_HUB_OFFLINE=1, which huggingface_hub reads when imported."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["./no-such-model", "/no/such/model", "~/model"])
def test_a_folder_that_is_missing(name: str):
    with pytest.raises(StageError, match="no model folder") as raised:
        identify(name)
    assert "safetensors" in raised.value.hint


def test_a_name_that_is_not_on_this_machine(offline: Path):
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set") as raised:
        identify("owner/model-nobody-has")
    assert "--preset bundled" in raised.value.hint
    assert "hf download owner/model-nobody-has" in raised.value.hint


@pytest.mark.parametrize("name", ["two words", "a/b/c", "owner/"])
def test_a_name_that_cannot_be_one(name: str, offline: Path):
    with pytest.raises(StageError, match="no name of a model"):
        identify(name)


def test_a_name_that_was_downloaded_is_its_commit(offline: Path, yolos: Path):
    cached = offline / "models--owner--detector"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    shutil.copytree(yolos, cached / "snapshots" / COMMIT)
    identity = identify("owner/detector")
    assert identity == f"owner/detector@{COMMIT}"
    # The branch has moved on, but what was identified is what is loaded.
    (cached / "refs" / "main").write_text("f" * 40)
    assert HubDetector("owner/detector", identity, "cpu").model.config.num_detection_tokens == 12
    with pytest.raises(StageError):
        identify("owner/detector")


def test_the_digest_ignores_what_is_not_a_file(folder: Path):
    before = identify(str(folder))
    (folder / "more.json").mkdir()
    assert identify(str(folder)) == before


def test_the_digest_tells_names_apart(folder: Path):
    before = identify(str(folder))
    (folder / "preprocessor_config.json").rename(folder / "processor.json")
    assert identify(str(folder)) != before


class FakeHub:
    """Answers as the hub does for one model whose main branch has pickles only."""

    def __init__(self, author: str) -> None:
        self.author = author

    def model_info(self, model: str, revision: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename="pytorch_model.bin")], sha="a" * 40)

    def get_repo_discussions(self, model: str, **_: str) -> list[SimpleNamespace]:
        title = "Adding `safetensors` variant of this model"
        return [SimpleNamespace(author=self.author, status="open", title=title, num=7)]


@pytest.mark.parametrize(("author", "reference"), [("SFconvertbot", "refs/pr/7"), ("somebody", "main")])
def test_pickles_are_replaced_by_the_hub_s_own_conversion_and_nobody_else_s(
    author: str, reference: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[str] = []

    def download(model: str, name: str, revision: str) -> str:
        asked.append(revision)
        return str(tmp_path / "snapshots" / ("c" * 40) / name)

    monkeypatch.setattr("huggingface_hub.HfApi", lambda: FakeHub(author))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert identify("owner/blip") == f"owner/blip@{'c' * 40}"
    assert asked == [reference]


@pytest.mark.parametrize("reference", ["main", "refs/pr/7"])
def test_what_was_downloaded_is_found_without_a_hub(
    reference: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    model, commit = tmp_path / "models--owner--blip", "d" * 40
    for cache in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.file_download.HF_HUB_CACHE"):
        monkeypatch.setattr(cache, str(tmp_path), raising=False)
    (model / "refs" / reference).parent.mkdir(parents=True)
    (model / "refs" / reference).write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "snapshots" / commit / "config.json").write_text("{}")
    assert find_local_commit("owner/blip") is None, "weights are missing"
    (model / "snapshots" / commit / "model.safetensors").write_text("")
    assert find_local_commit("owner/blip") == commit
