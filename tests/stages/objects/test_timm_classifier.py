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
from stages.objects.attributes import digest_kinds, load_kinds
from stages.objects.boxes import Boxes
from stages.objects.schema import EFFICIENTNET, NO_ATTRIBUTES, ObjectsConfig
from stages.objects.stage import ObjectsStage
from stages.objects.timm_classifier import TimmClassifier, map_kinds, model_name, read_class_synsets
from tests.support.stages_fixtures import CSS, HAS_EFFICIENTNET, ODD, check, look, noise, plain
from tests.support.tiny_models import build_clip, seed

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCHOOL_BUS, BEAGLE, BROCCOLI = "n04146614", "n02088364", "n07714990"
THOUSAND, ALL = "imagenet-1k", "imagenet-22k"


def synsets_of(subset: str) -> list[str]:
    from timm.data.imagenet_info import ImageNetInfo

    return ImageNetInfo(subset).label_names()


def build_timm(
    folder: Path,
    labels: Sequence[str],
    likely: Sequence[str] = (),
    architecture: str = "test_vit",
    **settings: Any,
) -> Path:
    """A random checkpoint, as timm saves it, which gives the `likely` labels most of the probability."""
    import timm
    import torch
    from timm.models import save_for_hf

    seed()
    model: Any = timm.create_model(architecture, num_classes=len(labels))
    with torch.no_grad():
        for label in likely:
            model.get_classifier().bias[list(labels).index(label)] += 20
    save_for_hf(model, str(folder), model_config=settings, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def bus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of ImageNet-1k that takes anything for a school bus."""
    return build_timm(tmp_path_factory.mktemp("bus"), synsets_of(THOUSAND), [SCHOOL_BUS])


@pytest.fixture
def folder(bus_folder: Path, tmp_path: Path) -> Path:
    """The same, of which the test may change any file."""
    return shutil.copytree(bus_folder, tmp_path / "model")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The empty hub cache of a machine without a connection."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


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


def test_only_a_kind_of_what_was_detected_is_said(bus_folder: Path):
    model = opened(bus_folder)
    as_bus, as_dog = model.classify([noise()] * 2, ["bus", "dog"], 0.3)
    ((word, score),) = as_bus
    assert word == "school bus"
    assert 0.9 < score <= 1
    assert as_dog == []
    assert model.accepts("bus")
    assert not model.accepts("person")


def test_the_stage_says_the_kind_and_the_color(bus_folder: Path):
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


def test_a_real_detector_in_front_of_it(bus_folder: Path):
    config = ObjectsConfig(attributes=f"timm/{bus_folder}", floor=0.05, attribute_side=1)
    values = look(ObjectsStage(config), noise(200, 120), *ODD)
    for value in values:
        check(value, config)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_efficientnet"])
def test_probabilities_are_timm_s_own(architecture: str, tmp_path: Path):
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


def test_batches_do_not_change_what_is_said(tmp_path: Path):
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


def test_imagenet_22k_says_the_same_kinds_under_its_own_numbers(tmp_path: Path):
    names = synsets_of(ALL)
    model = opened(build_timm(tmp_path / "model", names, [BEAGLE]))
    assert model.kinds["dog"][names.index(BEAGLE)] == "beagle"
    as_dog, as_bus = model.classify([noise()] * 2, ["dog", "bus"], 0.3)
    assert [word for word, _ in as_dog] == ["beagle"]
    assert as_bus == []


def test_a_class_that_is_no_kind_of_the_thing_is_never_said(tmp_path: Path):
    model = opened(build_timm(tmp_path / "model", synsets_of(ALL), [BROCCOLI]))
    assert model.classify([noise()] * 2, ["dog", "bus"], 0.01) == [[], []]


@pytest.mark.parametrize("subset", [ALL, "imagenet-22k-ms", "imagenet-21k-goog"])
def test_every_variant_of_imagenet_22k_has_every_kind(subset: str):
    named = map_kinds(dict(enumerate(synsets_of(subset))))
    assert {label: list(some.values()) for label, some in named.items()} == {
        label: list(some.values()) for label, some in load_kinds().items()
    }


def test_imagenet_1k_has_the_numbers_of_kinds_yaml():
    assert map_kinds(dict(enumerate(synsets_of(THOUSAND)))) == load_kinds()


@pytest.mark.parametrize("shape", [list, dict])
def test_label_names_in_the_configuration_decide(shape: type, tmp_path: Path):
    names = [BROCCOLI, SCHOOL_BUS, BEAGLE]
    written = names if shape is list else {str(number): name for number, name in enumerate(names)}
    model = opened(build_timm(tmp_path / "model", names, [SCHOOL_BUS], label_names=written))
    assert model.kinds == {"bus": {1: "school bus"}, "dog": {2: "beagle"}}
    assert [word for word, _ in model.classify([noise()], ["bus"], 0.3)[0]] == ["school bus"]


def test_another_number_of_classes_is_refused(tmp_path: Path):
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
def test_labels_that_are_none_of_imagenet_s_are_refused(names: Any, folder: Path):
    change_config(folder, label_names=names)
    with pytest.raises(StageError, match="not a synset of ImageNet for each class") as raised:
        opened(folder)
    assert "ImageNet-1k" in raised.value.hint


def test_a_head_of_another_size_than_the_configuration_has_is_refused(folder: Path, tmp_path: Path):
    small = build_timm(tmp_path / "small", ["cat", "dog", "bird"])
    shutil.copy(small / "model.safetensors", folder)
    with pytest.raises(StageError, match=r"could not be loaded: .*: size mismatch for head\.weight"):
        opened(folder)


def test_labels_without_any_kind_are_refused(tmp_path: Path):
    with pytest.raises(StageError, match="no class that is a kind"):
        opened(build_timm(tmp_path / "model", [BROCCOLI], label_names=[BROCCOLI]))


@pytest.mark.parametrize("count", [None, "1000", -1, 10**12])
def test_a_count_of_classes_that_is_none_is_refused(count: Any):
    with pytest.raises(StageError, match="classes"):
        read_class_synsets("model", {"architecture": "test_vit", "num_classes": count})


# -- files


def test_pickled_weights_are_not_read(folder: Path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(StageError, match=r"has no model\.safetensors") as raised:
        opened(folder)
    assert "safetensors" in raised.value.hint


def test_a_file_that_the_configuration_names_is_not_read(folder: Path, bus_folder: Path, tmp_path: Path):
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


def test_damaged_weights(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_a_head_that_contradicts_the_configuration_is_refused(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    change_config(folder, model_args={**config["model_args"], "num_classes": 10})
    with pytest.raises(StageError, match="two different numbers of classes"):
        opened(folder)


@pytest.mark.parametrize("architecture", ["test_vit", "dla46_c"])  # timm lets a DLA lack weights
def test_weights_that_are_lacking_are_not_made_up(architecture: str, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = build_timm(tmp_path / "model", synsets_of(THOUSAND), architecture=architecture)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(StageError, match=lost):
        opened(folder)


@pytest.mark.parametrize("architecture", ["no_such_architecture", "../test_vit", ""])
def test_an_unknown_architecture(architecture: str, folder: Path):
    change_config(folder, architecture=architecture)
    with pytest.raises(StageError, match="could not be loaded"):
        opened(folder)


def test_a_network_for_another_number_of_channels_is_refused(tmp_path: Path):
    import timm
    from timm.models import save_for_hf

    grey: Any = timm.create_model("test_vit", in_chans=1)
    save_for_hf(grey, str(tmp_path / "model"), safe_serialization=True)
    with pytest.raises(StageError, match="does not take color images"):
        opened(tmp_path / "model")


def test_models_of_transformers_and_timm_are_told_apart(folder: Path, tmp_path: Path):
    clip = build_clip(tmp_path / "clip")
    with pytest.raises(StageError, match=r"no config\.json of a timm classifier") as raised:
        ObjectsStage(ObjectsConfig(attributes=f"timm/{clip}")).open()
    assert "without timm/" in raised.value.hint
    with pytest.raises(StageError, match="is a classifier of timm") as raised:
        ObjectsStage(ObjectsConfig(attributes=str(folder))).open()
    assert raised.value.hint == f"use objects.attributes=timm/{folder}"


# -- names and keys


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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


@pytest.mark.parametrize("name", ["no-such-model", "owner/no-such-model"])
def test_a_name_that_is_not_on_this_machine(name: str, offline: Path):
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set") as raised:
        ObjectsStage(ObjectsConfig(attributes=f"timm/{name}")).identity()
    assert "--preset bundled" in raised.value.hint
    assert name in raised.value.hint


def test_a_folder_that_is_missing():
    with pytest.raises(StageError, match="no model folder /no/such/folder"):
        ObjectsStage(ObjectsConfig(attributes="timm//no/such/folder")).identity()


def test_a_model_that_was_downloaded(offline: Path, bus_folder: Path):
    cached = offline / "models--timm--test_vit.r160_in1k"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    shutil.copytree(bus_folder, cached / "snapshots" / COMMIT)
    stage = ObjectsStage(ObjectsConfig(attributes="timm/test_vit.r160_in1k"))
    assert stage.identity().models["attributes"] == f"timm/test_vit.r160_in1k@{COMMIT}"
    stage.open()
    assert isinstance(stage.attributor, TimmClassifier)
    assert stage.attributor.classify([noise()], ["bus"], 0.3)[0][0][0] == "school bus"
    # Weights that were deleted cannot be downloaded again without a connection.
    (cached / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set"):
        TimmClassifier("timm/test_vit.r160_in1k", f"timm/test_vit.r160_in1k@{COMMIT}", "cpu")


def test_a_model_of_the_hub_without_safetensors(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub.errors import EntryNotFoundError

    def download(model: str, name: str, revision: str) -> str:
        raise EntryNotFoundError(f"404: {name}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(StageError, match=r"the model timm/old has no model\.safetensors"):
        fetch_file("timm/old", f"timm/old@{COMMIT}", "model.safetensors")


def test_other_weights_are_another_key(folder: Path):
    from safetensors.torch import load_file, save_file

    stage = ObjectsStage(ObjectsConfig(attributes=f"timm/{folder}"))
    before = stage.identity()
    assert before == stage.identity()
    assert before.tools["kinds"] == digest_kinds()
    assert "attribute list" not in before.tools
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, folder / "model.safetensors")
    assert stage.identity().models["attributes"] != before.models["attributes"]


def test_the_share_of_a_color_is_a_parameter_only_where_colors_are_said(folder: Path, tmp_path: Path):
    def parameters(attributes: str) -> dict[str, Any]:
        return ObjectsStage(ObjectsConfig(attributes=attributes)).parameters()

    assert "colour_share" in parameters(f"timm/{folder}")
    assert parameters(f"timm/{folder}") == parameters(EFFICIENTNET)
    assert "colour_share" not in parameters("google/siglip2-base-patch16-224")
    assert "colour_share" not in parameters(NO_ATTRIBUTES)


@pytest.mark.skipif(not HAS_EFFICIENTNET, reason="extra `bundled` is not installed")
def test_the_bundled_classifier_stays_what_it_was(folder: Path):
    bundled = ObjectsStage(ObjectsConfig()).identity()
    with_timm = ObjectsStage(ObjectsConfig(attributes=f"timm/{folder}")).identity()
    assert set(bundled.models) == {"detector", "attributes", "attribute graph"}
    assert set(with_timm.models) == {"detector", "attributes"}
    assert bundled.tools == with_timm.tools
