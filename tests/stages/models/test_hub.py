"""Models by name or folder: nothing is fetched, unpickled or executed, and errors say what mends them."""

from __future__ import annotations

import builtins
import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from stages.base import StageError
from stages.caption.schema import CaptionConfig
from stages.caption.stage import CaptionStage
from stages.models import hub
from stages.objects.hub_detectors import HubDetector
from stages.objects.zero_shot_attributes import ZeroShotAttributes
from tests.support.tiny_models import build_clip, build_yolos

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


def opened(folder: Path) -> HubDetector:
    return HubDetector(str(folder), hub.identify(str(folder)), "cpu")


def trap(folder: Path, name: str) -> Path:
    """A module that leaves a mark where it is imported; returns the place of the mark."""
    mark = folder / "executed"
    code = f"from pathlib import Path\nPath({str(mark)!r}).touch()\nclass Config: pass\nclass Model: pass\n"
    (folder / f"{name}.py").write_text(code)
    return mark


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["./no-such-model", "/no/such/model", "~/model"])
def test_a_folder_that_is_missing(name: str):
    with pytest.raises(StageError, match="no model folder") as raised:
        hub.identify(name)
    assert "safetensors" in raised.value.hint


def test_a_name_that_is_not_on_this_machine(offline: Path):
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set") as raised:
        hub.identify("owner/model-nobody-has")
    assert "--preset bundled" in raised.value.hint
    assert "hf download owner/model-nobody-has" in raised.value.hint


@pytest.mark.parametrize("name", ["two words", "a/b/c", "owner/"])
def test_a_name_that_cannot_be_one(name: str, offline: Path):
    with pytest.raises(StageError, match="no name of a model"):
        hub.identify(name)


def test_a_name_that_was_downloaded_is_its_commit(offline: Path, yolos: Path):
    cached = offline / "models--owner--detector"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    shutil.copytree(yolos, cached / "snapshots" / COMMIT)
    identity = hub.identify("owner/detector")
    assert identity == f"owner/detector@{COMMIT}"
    # The branch has moved on, but what was identified is what is loaded.
    (cached / "refs" / "main").write_text("f" * 40)
    assert HubDetector("owner/detector", identity, "cpu").model.config.num_detection_tokens == 12
    with pytest.raises(StageError):
        hub.identify("owner/detector")


def test_the_digest_ignores_what_is_not_a_file(folder: Path):
    before = hub.identify(str(folder))
    (folder / "more.json").mkdir()
    assert hub.identify(str(folder)) == before


def test_the_digest_tells_names_apart(folder: Path):
    before = hub.identify(str(folder))
    (folder / "preprocessor_config.json").rename(folder / "processor.json")
    assert hub.identify(str(folder)) != before


def test_pickled_weights_are_not_read(folder: Path):
    mark = folder / "executed"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(StageError, match="could not be loaded") as raised:
        opened(folder)
    assert not mark.exists()
    assert "model.safetensors" in raised.value.hint
    pickle.loads((folder / "pytorch_model.bin").read_bytes())  # noqa: S301 (the trap does work)
    assert mark.exists()


def test_code_of_a_model_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    mark = trap(folder, "evil")
    config = {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForObjectDetection": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)
    assert not mark.exists()


def test_code_of_a_processor_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    mark = trap(folder, "evil")
    config = {"image_processor_type": "Evil", "auto_map": {"AutoImageProcessor": "evil.Model"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": "evil"}))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)
    assert not mark.exists()


def test_a_known_model_does_not_bring_its_own_code(folder: Path, monkeypatch: pytest.MonkeyPatch):
    mark = trap(folder, "evil")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForObjectDetection": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    assert opened(folder).model.__class__.__module__.startswith("transformers.")
    assert not mark.exists()


def test_damaged_weights(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_a_damaged_configuration(folder: Path):
    (folder / "config.json").write_text("{")
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_weights_that_are_lacking_are_not_made_up(folder: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.startswith("class_labels_classifier") and "weight" in name)
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match=lost):
        opened(folder)


def test_a_model_of_another_kind_is_refused(yolos: Path, tmp_path: Path):
    clip = str(build_clip(tmp_path / "clip"))
    with pytest.raises(StageError):
        opened(Path(clip))
    with pytest.raises(StageError):
        ZeroShotAttributes(str(yolos), hub.identify(str(yolos)), "cpu")
    with pytest.raises(StageError):
        CaptionStage(CaptionConfig(model=clip)).open()


def test_a_package_that_is_missing_is_named():
    def factory(*_: object, **__: object) -> None:
        raise ImportError("SiglipTokenizer requires sentencepiece\nand more")

    with pytest.raises(StageError, match=r"needs a package: SiglipTokenizer requires sentencepiece$"):
        hub.load(factory, "owner/model", f"owner/model@{COMMIT}")


@pytest.mark.parametrize("cause", [ConnectionError("reset by peer"), TimeoutError("too slow")])
def test_a_connection_that_breaks_in_a_download_is_no_damaged_model(cause: Exception):
    def factory(*_: object, **__: object) -> None:
        raise OSError("Can't load the model for 'owner/model'") from cause

    with pytest.raises(StageError, match="is not on this machine and") as raised:
        hub.load(factory, "owner/model", f"owner/model@{COMMIT}")
    assert "hf download owner/model" in raised.value.hint


def test_devices():
    import torch

    assert hub.pick_device("cpu") == "cpu"
    assert hub.pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


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
    assert hub.identify("owner/blip") == f"owner/blip@{'c' * 40}"
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
    assert hub.local_commit("owner/blip") is None, "weights are missing"
    (model / "snapshots" / commit / "model.safetensors").write_text("")
    assert hub.local_commit("owner/blip") == commit


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(StageError, match="no device nonsense"):
        hub.pick_device("nonsense")
