"""Classifiers of timm as attributes: small random checkpoints from folders, with heads of ImageNet-1k and -22k."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.base import StageError
from stages.models.identity import identify
from stages.models.loading import fetch_file
from stages.objects.attributes import load_kinds
from stages.objects.boxes import Boxes
from stages.objects.schema import EFFICIENTNET, ObjectsConfig
from stages.objects.stage import ObjectsStage
from stages.objects.timm_classifier import TimmClassifier, map_kinds, model_name, read_class_synsets
from tests.support.hub_cache import COMMIT, cache_model
from tests.support.stages_fixtures import CSS, ODD, check, look, noise, plain
from tests.support.tiny_timm import ALL, BEAGLE, BROCCOLI, SCHOOL_BUS, THOUSAND, build_timm, synsets_of


@pytest.fixture(scope="module")
def bus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of ImageNet-1k that takes anything for a school bus."""
    return build_timm(tmp_path_factory.mktemp("bus"), synsets_of(THOUSAND), [SCHOOL_BUS])


@pytest.fixture
def folder(bus_folder: Path, tmp_path: Path) -> Path:
    """The same, of which the test may change any file."""
    return shutil.copytree(bus_folder, tmp_path / "model")


def opened(folder: Path) -> TimmClassifier:
    return TimmClassifier(str(folder), identify(str(folder)), "cpu")


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


class Halves:
    """A detector that sees a dog at the left and a bus at the right of each picture."""

    def detect(self, pictures: Sequence[Image.Image], floor: float) -> list[Boxes]:
        return [self.halves(*picture.size) for picture in pictures]

    def halves(self, width: int, height: int) -> Boxes:
        xyxy = np.array([[0, 0, width / 2, height], [width / 2, 0, width, height]])
        return Boxes(xyxy, np.array([0.9, 0.8]), ["dog", "bus"])


# -- what is said of a crop


def test_only_kinds_of_the_detected_label_are_named(bus_folder: Path):
    model = opened(bus_folder)
    as_bus, as_dog = model.classify([noise()] * 2, ["bus", "dog"], 0.3)
    ((word, score),) = as_bus
    assert word == "school bus"
    assert 0.9 < score <= 1
    assert as_dog == []
    assert model.accepts("bus")
    assert not model.accepts("person")


def test_the_stage_names_kind_and_color(bus_folder: Path):
    config = ObjectsConfig(attributes=f"timm/{bus_folder}")
    stage = ObjectsStage(config)
    stage.open()
    stage.detector = Halves()
    value, *odd = look(stage, plain(CSS["red"], 200, 100), *ODD)
    dog, bus = value.objects
    assert dog.attributes == ()
    assert {attribute.label for attribute in bus.attributes} == {"red", "school bus"}
    for one in (value, *odd):
        assert len(one.objects) <= 2


def test_crops_of_the_bundled_detector_are_classified(bus_folder: Path):
    config = ObjectsConfig(attributes=f"timm/{bus_folder}", floor=0.05, attribute_side=1)
    values = look(ObjectsStage(config), noise(200, 120), *ODD)
    for value in values:
        check(value, config)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_probabilities_equal_those_of_timm(architecture: str, tmp_path: Path):
    import timm
    import torch
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    folder = build_timm(tmp_path / "model", synsets_of(THOUSAND), architecture=architecture)
    crops = [noise(50, 70, 1), noise(190, 140, 2), plain(CSS["red"])]
    peer: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform: Any = create_transform(**resolve_model_data_config(peer), is_training=False)
    with torch.inference_mode():
        expected = torch.cat([peer(transform(crop)[None]).softmax(1) for crop in crops])
    np.testing.assert_allclose(opened(folder).compute_probabilities(crops), expected.numpy(), atol=1e-6)
    assert expected.std(0).max() > 1e-6, "the crops must differ"


def test_batches_do_not_change_the_result(tmp_path: Path):
    model = opened(build_timm(tmp_path / "model", synsets_of(THOUSAND)))
    crops = [noise(40 + index, 60, index) for index in range(19)]
    labels = ["dog", "bird"] * 9 + ["bus"]
    together = model.classify(crops, labels, 0.0)
    assert [len(found) for found in together] == [1] * 19
    for crop, label, ((word, score),) in zip(crops, labels, together, strict=True):
        ((word_alone, score_alone),) = model.classify([crop], [label], 0.0)[0]
        assert word_alone == word
        assert score_alone == pytest.approx(score, abs=1e-6)
    assert model.classify(crops, labels, 1.0) == [[]] * 19
    assert model.classify([], [], 0.0) == []


# -- label lists


def test_a_model_of_imagenet_22k_names_the_same_kinds(tmp_path: Path):
    names = synsets_of(ALL)
    model = opened(build_timm(tmp_path / "model", names, [BEAGLE]))
    assert model.kinds["dog"][names.index(BEAGLE)] == "beagle"
    as_dog, as_bus = model.classify([noise()] * 2, ["dog", "bus"], 0.3)
    assert [word for word, _ in as_dog] == ["beagle"]
    assert as_bus == []


def test_a_class_that_is_not_a_kind_of_the_label_is_not_named(tmp_path: Path):
    model = opened(build_timm(tmp_path / "model", synsets_of(ALL), [BROCCOLI]))
    assert model.classify([noise()] * 2, ["dog", "bus"], 0.01) == [[], []]


@pytest.mark.parametrize("subset", [ALL, "imagenet-22k-ms", "imagenet-21k-goog"])
def test_each_variant_of_imagenet_22k_has_all_kinds(subset: str):
    named = map_kinds(dict(enumerate(synsets_of(subset))))
    assert {label: list(some.values()) for label, some in named.items()} == {
        label: list(some.values()) for label, some in load_kinds().items()
    }


def test_imagenet_1k_has_the_numbers_of_kinds_yaml():
    assert map_kinds(dict(enumerate(synsets_of(THOUSAND)))) == load_kinds()


@pytest.mark.parametrize("shape", [list, dict])
def test_label_names_in_the_configuration_determine_the_classes(shape: type, tmp_path: Path):
    names = [BROCCOLI, SCHOOL_BUS, BEAGLE]
    written = names if shape is list else {str(number): name for number, name in enumerate(names)}
    model = opened(build_timm(tmp_path / "model", names, [SCHOOL_BUS], label_names=written))
    assert model.kinds == {"bus": {1: "school bus"}, "dog": {2: "beagle"}}
    assert [word for word, _ in model.classify([noise()], ["bus"], 0.3)[0]] == ["school bus"]


def test_an_unknown_number_of_classes_is_an_error(tmp_path: Path):
    folder = build_timm(tmp_path / "model", ["cat", "dog", "bird"])
    with pytest.raises(StageError, match="has 3 classes") as raised:
        opened(folder)
    assert "ImageNet-1k" in raised.value.hint


@pytest.mark.parametrize(
    "names",
    [
        ["rose"] * 1000,
        [BEAGLE] * 999,
        {"a": BEAGLE},
        {"1000": BEAGLE},
        "beagle",
        [[BEAGLE]] * 1000,
    ],
)
def test_labels_that_are_not_of_imagenet_are_an_error(names: Any, folder: Path):
    change_config(folder, label_names=names)
    with pytest.raises(StageError, match="not a synset of ImageNet for each class") as raised:
        opened(folder)
    assert "ImageNet-1k" in raised.value.hint


def test_a_head_of_another_size_than_in_the_configuration_is_an_error(folder: Path, tmp_path: Path):
    small = build_timm(tmp_path / "small", ["cat", "dog", "bird"])
    shutil.copy(small / "model.safetensors", folder)
    with pytest.raises(StageError, match=r"could not be loaded: .*: size mismatch for head\.weight"):
        opened(folder)


def test_labels_without_any_kind_are_an_error(tmp_path: Path):
    with pytest.raises(StageError, match="no class that matches a detected object"):
        opened(build_timm(tmp_path / "model", [BROCCOLI], label_names=[BROCCOLI]))


@pytest.mark.parametrize("count", [None, "1000", -1, 10**12])
def test_an_invalid_number_of_classes_is_an_error(count: Any):
    with pytest.raises(StageError, match="classes"):
        read_class_synsets("model", {"architecture": "test_vit", "num_classes": count})


# -- files


def test_pickled_weights_are_not_read(folder: Path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(StageError, match=r"has no model\.safetensors") as raised:
        opened(folder)
    assert "safetensors" in raised.value.hint


def test_files_named_in_the_configuration_are_not_read(folder: Path, bus_folder: Path, tmp_path: Path):
    named = {
        "file": str(tmp_path / "no.bin"),
        "url": "http://127.0.0.1:1/x.bin",
        "hf_hub_id": "owner/name",
        "state_dict": {"head.bias": 0},
        "custom_load": True,
    }
    config = json.loads((folder / "config.json").read_text())
    change_config(folder, pretrained_cfg={**config["pretrained_cfg"], **named})
    np.testing.assert_array_equal(
        opened(folder).compute_probabilities([noise()]), opened(bus_folder).compute_probabilities([noise()])
    )


def test_damaged_weights_are_an_error(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_two_different_numbers_of_classes_are_an_error(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    change_config(folder, model_args={**config["model_args"], "num_classes": 10})
    with pytest.raises(StageError, match="two different numbers of classes"):
        opened(folder)


@pytest.mark.parametrize("architecture", ["test_vit", "dla46_c"])  # timm lets a DLA lack weights
def test_missing_weights_are_an_error_and_not_initialized_at_random(architecture: str, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = build_timm(tmp_path / "model", synsets_of(THOUSAND), architecture=architecture)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(StageError, match=lost):
        opened(folder)


@pytest.mark.parametrize("architecture", ["no_such_architecture", "../test_vit", ""])
def test_an_unknown_architecture_is_an_error(architecture: str, folder: Path):
    change_config(folder, architecture=architecture)
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_a_network_for_another_number_of_channels_is_an_error(tmp_path: Path):
    import timm
    from timm.models import save_for_hf

    grey: Any = timm.create_model("test_vit", in_chans=1)
    save_for_hf(grey, str(tmp_path / "model"), safe_serialization=True)
    with pytest.raises(StageError, match="does not take color images"):
        opened(tmp_path / "model")


# -- names and the hub


def test_the_setting_is_resolved_to_a_hub_name_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "timm" / "clone").mkdir(parents=True)
    expected = {
        "timm/resnet50.a1_in1k": "timm/resnet50.a1_in1k",
        "timm/owner/name": "owner/name",
        "timm/timm/resnet50.a1_in1k": "timm/resnet50.a1_in1k",
        "timm/mine": "mine",
        "timm/./gone": "./gone",
        "timm/~/gone": "~/gone",
        f"timm/{tmp_path}/mine": f"{tmp_path}/mine",
        "timm/clone": "timm/clone",
        "timm/": "timm/",
        "google/siglip2": "google/siglip2",
        EFFICIENTNET: EFFICIENTNET,
    }
    assert {name: model_name(name) for name in expected} == expected


def test_a_downloaded_model_is_used_offline(offline: Path, bus_folder: Path):
    cached = cache_model(offline, "timm/test_vit.r160_in1k", bus_folder)
    stage = ObjectsStage(ObjectsConfig(attributes="timm/test_vit.r160_in1k"))
    assert stage.identity().models["attributes"] == f"timm/test_vit.r160_in1k@{COMMIT}"
    stage.open()
    assert isinstance(stage.attributor, TimmClassifier)
    assert stage.attributor.classify([noise()], ["bus"], 0.3)[0][0][0] == "school bus"
    # Weights that were deleted cannot be downloaded again without a connection.
    (cached / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set"):
        TimmClassifier("timm/test_vit.r160_in1k", f"timm/test_vit.r160_in1k@{COMMIT}", "cpu")


def test_a_hub_model_without_safetensors_is_an_error(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub.errors import EntryNotFoundError

    def download(model: str, name: str, revision: str) -> str:
        raise EntryNotFoundError(f"404: {name}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(StageError, match=r"the model timm/old has no model\.safetensors"):
        fetch_file("timm/old", f"timm/old@{COMMIT}", "model.safetensors")
