"""Loading models: nothing is unpickled or executed, and errors name the remedy."""

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
from stages.models.identity import identify
from stages.models.loading import load_pretrained, pick_device
from stages.objects.hub_detectors import HubDetector
from stages.objects.zero_shot_attributes import ZeroShotAttributes
from tests.support.hub_cache import COMMIT
from tests.support.tiny_models import build_clip, build_yolos


@pytest.fixture(scope="module")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_yolos(tmp_path_factory.mktemp("yolos"))


@pytest.fixture
def folder(yolos: Path, tmp_path: Path) -> Path:
    """A detector of which the test may change any file."""
    return shutil.copytree(yolos, tmp_path / "model")


def opened(folder: Path) -> HubDetector:
    return HubDetector(str(folder), identify(str(folder)), "cpu")


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


def test_code_of_a_known_model_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    mark = trap(folder, "evil")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForObjectDetection": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    assert opened(folder).model.__class__.__module__.startswith("transformers.")
    assert not mark.exists()


def test_damaged_weights_are_an_error(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_a_damaged_configuration_is_an_error(folder: Path):
    (folder / "config.json").write_text("{")
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_missing_weights_are_an_error_and_not_initialized_at_random(folder: Path):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.startswith("class_labels_classifier") and "weight" in name)
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(StageError, match=lost):
        opened(folder)


def test_a_model_of_another_kind_is_an_error(yolos: Path, tmp_path: Path):
    clip = str(build_clip(tmp_path / "clip"))
    with pytest.raises(StageError):
        opened(Path(clip))
    with pytest.raises(StageError):
        ZeroShotAttributes(str(yolos), identify(str(yolos)), "cpu")
    with pytest.raises(StageError):
        CaptionStage(CaptionConfig(model=clip)).open()


def test_a_missing_package_is_an_error_that_names_it(tmp_path: Path):
    def factory(*_: object, **__: object) -> None:
        raise ImportError("SiglipTokenizer requires sentencepiece\nand more")

    with pytest.raises(StageError, match=r"needs a package: SiglipTokenizer requires sentencepiece$"):
        load_pretrained(SimpleNamespace(from_pretrained=factory), str(tmp_path), "")


@pytest.mark.parametrize("cause", [ConnectionError("reset by peer"), TimeoutError("too slow")])
def test_a_broken_connection_is_not_reported_as_a_damaged_model(cause: Exception):
    def factory(*_: object, **__: object) -> None:
        raise OSError("Can't load the model for 'owner/model'") from cause

    with pytest.raises(StageError, match="is not on this machine and") as raised:
        load_pretrained(SimpleNamespace(from_pretrained=factory), "owner/model", f"owner/model@{COMMIT}")
    assert "hf download owner/model" in raised.value.hint


def test_auto_is_a_cuda_device_if_there_is_one():
    import torch

    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_missing_device_is_an_error_that_names_it():
    with pytest.raises(StageError, match="has no device nonsense"):
        pick_device("nonsense")
