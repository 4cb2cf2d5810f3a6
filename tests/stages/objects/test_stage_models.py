"""The choice of a detector and a classifier: which weights and words are part of the key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.base import StageError
from stages.models.libraries import opencv_version, package_version
from stages.objects import nanodet
from stages.objects.attributes import digest_attribute_list, digest_kinds
from stages.objects.schema import EFFICIENTNET, NO_ATTRIBUTES, ObjectsConfig
from stages.objects.stage import ObjectsStage
from tests.support.stages_fixtures import HAS_EFFICIENTNET
from tests.support.tiny_detectors import build_owl
from tests.support.tiny_models import build_clip, build_yolos
from tests.support.tiny_timm import SCHOOL_BUS, THOUSAND, build_timm, synsets_of


@pytest.fixture(scope="module")
def owl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_owl(tmp_path_factory.mktemp("owl"))


@pytest.fixture(scope="module")
def yolos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_yolos(tmp_path_factory.mktemp("yolos"))


@pytest.fixture(scope="module")
def bus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_timm(tmp_path_factory.mktemp("bus"), synsets_of(THOUSAND), [SCHOOL_BUS])


@pytest.fixture
def folder(bus_folder: Path, tmp_path: Path) -> Path:
    """A classifier of timm of which the test may change any file."""
    return shutil.copytree(bus_folder, tmp_path / "model")


# -- detectors


def test_the_vocabulary_is_part_of_the_key_only_where_it_is_used(
    owl_folder: Path, yolos_folder: Path, tmp_path: Path
):
    def stage(detector: str, vocabulary: str) -> ObjectsStage:
        return ObjectsStage(ObjectsConfig(detector=detector, attributes=NO_ATTRIBUTES, vocabulary=vocabulary))

    file, copy = tmp_path / "words.txt", tmp_path / "copy.yaml"
    file.write_text("dog\ncat\n")
    copy.write_text("[dog, cat]")
    owl = str(owl_folder)
    first = stage(owl, str(file))
    assert first.identity() == stage(owl, str(copy)).identity()
    assert first.parameters() == stage(owl, str(copy)).parameters()
    assert first.identity() != stage(owl, "common").identity() != stage(owl, "coco").identity()
    before = first.identity()
    file.write_text("dog\nhorse\n")
    assert first.identity() != before
    for other in ("nanodet-g", str(yolos_folder)):
        assert stage(other, "coco").identity() == stage(other, "common").identity()
        runtime = {"onnxruntime": package_version("onnxruntime")} if other == "nanodet-g" else {}
        expected = {"opencv": opencv_version(), **runtime}
        assert stage(other, "coco").identity().tools == expected


@pytest.mark.parametrize("content", [None, "", "# no words\n"])
def test_a_missing_or_empty_vocabulary_is_an_error(owl_folder: Path, tmp_path: Path, content: str | None):
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_text(content)
    stage = ObjectsStage(ObjectsConfig(detector=str(owl_folder), vocabulary=str(path), attributes="none"))
    with pytest.raises(StageError, match=r"words\.txt") as raised:
        stage.identity()
    assert "`common`" in raised.value.hint


# -- classifiers


def test_a_model_of_the_other_library_is_an_error_with_a_hint(folder: Path, tmp_path: Path):
    clip = build_clip(tmp_path / "clip")
    with pytest.raises(StageError, match=r"no config\.json of a timm classifier") as raised:
        ObjectsStage(ObjectsConfig(attributes=f"timm/{clip}")).open()
    assert "without timm/" in raised.value.hint
    with pytest.raises(StageError, match="is a classifier of timm") as raised:
        ObjectsStage(ObjectsConfig(attributes=str(folder))).open()
    assert raised.value.hint == f"use objects.attributes=timm/{folder}"


@pytest.mark.parametrize("name", ["no-such-model", "owner/no-such-model"])
def test_a_model_that_is_not_on_this_machine_is_an_error_with_a_hint(name: str, offline: Path):
    with pytest.raises(StageError, match="HF_HUB_OFFLINE is set") as raised:
        ObjectsStage(ObjectsConfig(attributes=f"timm/{name}")).identity()
    assert "another model or preset" in raised.value.hint
    assert name in raised.value.hint


def test_a_missing_folder_is_an_error_that_names_it():
    with pytest.raises(StageError, match="no model folder /no/such/folder"):
        ObjectsStage(ObjectsConfig(attributes="timm//no/such/folder")).identity()


def test_other_weights_give_another_key(folder: Path):
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


def test_the_color_share_is_a_parameter_only_where_colors_are_named(folder: Path, tmp_path: Path):
    def parameters(attributes: str) -> dict[str, Any]:
        return ObjectsStage(ObjectsConfig(attributes=attributes)).parameters()

    assert "colour_share" in parameters(f"timm/{folder}")
    assert parameters(f"timm/{folder}") == parameters(EFFICIENTNET)
    assert "colour_share" not in parameters("google/siglip2-base-patch16-224")
    assert "colour_share" not in parameters(NO_ATTRIBUTES)


@pytest.mark.skipif(not HAS_EFFICIENTNET, reason="extra `bundled` is not installed")
def test_the_bundled_classifier_and_timm_share_their_tools(folder: Path):
    bundled = ObjectsStage(ObjectsConfig()).identity()
    with_timm = ObjectsStage(ObjectsConfig(attributes=f"timm/{folder}")).identity()
    assert set(bundled.models) == {"detector", "attributes", "attribute graph"}
    assert set(with_timm.models) == {"detector", "attributes"}
    assert bundled.tools == with_timm.tools


def test_the_attribute_list_is_part_of_the_identity_only_where_it_is_used(yolos_folder: Path, tmp_path: Path):
    stage = ObjectsStage(ObjectsConfig(attributes=str(build_clip(tmp_path))))
    opencv = {"opencv": opencv_version()}
    detector = {**opencv, "onnxruntime": package_version("onnxruntime")}
    assert stage.identity().tools == {"attribute list": digest_attribute_list(), **detector}
    assert stage.identity().models["detector"] == f"sha256:{nanodet.SHA256}"
    assert ObjectsStage(ObjectsConfig(attributes=NO_ATTRIBUTES)).identity().tools == detector
    from_folder = ObjectsConfig(detector=str(yolos_folder), attributes=NO_ATTRIBUTES)
    assert ObjectsStage(from_folder).identity().tools == opencv
    if HAS_EFFICIENTNET:
        assert ObjectsStage(ObjectsConfig()).identity().tools == {"kinds": digest_kinds(), **detector}
