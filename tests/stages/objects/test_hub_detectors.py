"""Detectors and zero-shot attributes of transformers, with random weights, and the attribute list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.base import EXECUTION, SEMANTIC
from stages.models.libraries import opencv_version, package_version
from stages.objects import nanodet
from stages.objects.attributes import ATTRIBUTES_FILE, digest_attribute_list, load_attribute_list
from stages.objects.colors import PALETTE
from stages.objects.hub_detectors import HubDetector, pad_elongated
from stages.objects.kinds import digest_kinds
from stages.objects.schema import NO_ATTRIBUTES, ObjectsConfig
from stages.objects.stage import ObjectsStage
from stages.objects.zero_shot_attributes import ZeroShotAttributes
from tests.support.stages_fixtures import HAS_EFFICIENTNET, ODD, check, look, noise, plain
from tests.support.tiny_models import LABELS, build_clip, build_rt_detr, build_siglip, build_yolos

# -- models from folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    builders = {"yolos": build_yolos, "rt_detr": build_rt_detr, "clip": build_clip, "siglip": build_siglip}
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in builders.items()}


@pytest.mark.parametrize(("detector", "attributes"), [("yolos", "clip"), ("rt_detr", "siglip")])
def test_models_from_folders(folders: dict[str, Path], detector: str, attributes: str):
    config = ObjectsConfig(
        detector=str(folders[detector]),
        attributes=str(folders[attributes]),
        attribute_floor=0.05,
        attribute_side=1,
        overlap_within=0.9,
        overlap_across=0.9,
    )
    said = 0
    for value in look(ObjectsStage(config), noise(200, 120), *ODD):
        check(value, config)
        assert {thing.label for thing in value.objects} <= set(LABELS.values())
        for thing in value.objects:
            scores = [attribute.score for attribute in thing.attributes]
            assert scores == sorted(scores, reverse=True)
            assert len(scores) <= 3
            assert all(0.05 <= score <= 1 for score in scores)
            assert {attribute.label for attribute in thing.attributes} <= set(load_attribute_list().words)
            said += len(scores)
    assert said


def test_no_attributes_where_none_are_wanted(folders: dict[str, Path]):
    config = ObjectsConfig(detector=str(folders["yolos"]), attributes=NO_ATTRIBUTES, attribute_side=1)
    stage = ObjectsStage(config)
    (value,) = look(stage, noise(200, 120))
    assert value.objects
    assert all(thing.attributes == () for thing in value.objects)
    assert set(stage.identity().models) == {"detector"}


def test_a_detector_says_what_its_model_says(folders: dict[str, Path]):
    import torch
    from transformers import YolosForObjectDetection, YolosImageProcessor

    picture = noise(200, 120)
    (boxes,) = HubDetector(str(folders["yolos"]), "", "cpu").detect([picture], 0.0)
    inputs = YolosImageProcessor.from_pretrained(folders["yolos"])(images=picture, return_tensors="pt")
    with torch.no_grad():
        outputs = YolosForObjectDetection.from_pretrained(folders["yolos"]).eval()(**inputs)
    best = outputs.logits[0].softmax(-1)[:, :-1].max(-1)
    x, y, width, height = outputs.pred_boxes[0].T.numpy()
    sides = np.stack([(x - width / 2), (y - height / 2), (x + width / 2), (y + height / 2)], axis=1)
    limits = np.array([200, 120, 200, 120])
    np.testing.assert_allclose(boxes.xyxy, (sides * limits).clip(0, limits), atol=1e-2)
    np.testing.assert_allclose(boxes.scores, best.values.numpy(), atol=1e-5)
    assert boxes.labels == [LABELS[index] for index in best.indices.tolist()]
    assert len(np.unique(boxes.xyxy.round(), axis=0)) > 3


def test_a_higher_floor_leaves_fewer_boxes(folders: dict[str, Path]):
    detector = HubDetector(str(folders["rt_detr"]), "", "cpu")
    (every,) = detector.detect([noise(200, 120)], 0.0)
    middle = float(np.median(every.scores))
    (some,) = detector.detect([noise(200, 120)], middle)
    assert 0 < len(some) < len(every)
    assert some.scores.min() > middle


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_attributes_are_what_the_whole_model_says(folders: dict[str, Path], name: str):
    import torch
    from transformers import AutoModel, AutoProcessor

    crops = [noise(50, 70, 1), noise(90, 40, 2), plain((255, 0, 0))]
    ours = ZeroShotAttributes(str(folders[name]), "", "cpu")
    processor = AutoProcessor.from_pretrained(folders[name])
    padding = "max_length" if name == "siglip" else True
    inputs = processor(
        text=load_attribute_list().sentences,
        images=crops,
        padding=padding,
        truncation=True,
        return_tensors="pt",
    )
    if name == "siglip":
        assert inputs["input_ids"].shape[1] == 16
        del inputs["attention_mask"]
    with torch.no_grad():
        logits = AutoModel.from_pretrained(folders[name]).eval()(**inputs).logits_per_image
    start, expected = 1, []
    for group in load_attribute_list().groups.values():
        columns = [0, *range(start, start + len(group))]
        expected.append(logits[:, columns].softmax(1)[:, 1:])
        start += len(group)
    assert start == logits.shape[1]
    np.testing.assert_allclose(ours.compute_scores(crops).numpy(), torch.cat(expected, 1).numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_batches_do_not_change_attributes(folders: dict[str, Path], name: str):
    model = ZeroShotAttributes(str(folders[name]), "", "cpu")
    crops = [noise(40 + index, 60, index) for index in range(19)]
    together = model.classify(crops, ["dog"] * 19, 0.1)
    assert len(together) == 19
    for crop, many in zip(crops, together, strict=True):
        (alone,) = model.classify([crop], ["dog"], 0.1)
        assert [word for word, _ in alone] == [word for word, _ in many]
    assert model.classify(crops, ["dog"] * 19, 1.0) == [[]] * 19
    assert model.classify([], [], 0.1) == []


def test_elongated_pictures_are_padded_and_others_left_alone():
    wide = noise(2000, 3)
    padded = pad_elongated(wide)
    assert padded.size == (2000, 125)
    assert padded.crop((0, 0, 2000, 3)).tobytes() == wide.tobytes()
    usual = noise(300, 20)
    assert pad_elongated(usual) is usual


# -- the list of attributes and the identity of the stage


def test_each_attribute_stands_in_one_group():
    words = load_attribute_list().words
    assert 150 <= len(words) <= 200
    assert len(set(words)) == len(words)
    assert all(isinstance(word, str) and word == word.strip().lower() for word in words)
    assert min(map(len, load_attribute_list().groups.values())) >= 2
    assert set(PALETTE) <= set(load_attribute_list().groups["colour"])


def test_the_digest_follows_the_words_and_not_the_layout(tmp_path: Path):
    text = ATTRIBUTES_FILE.read_text("utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text("# a comment\n" + text.replace("[black, grey", "[black,    grey"), "utf-8")
    other.write_text(text.replace("[black, grey", "[black, gray"), "utf-8")
    assert digest_attribute_list(same) == digest_attribute_list()
    assert digest_attribute_list(other) != digest_attribute_list()


def test_the_list_is_part_of_the_identity_only_where_it_is_used(folders: dict[str, Path]):
    stage = ObjectsStage(ObjectsConfig(attributes=str(folders["clip"])))
    opencv = {"opencv": opencv_version()}
    detector = {**opencv, "onnxruntime": package_version("onnxruntime")}
    assert stage.identity().tools == {"attribute list": digest_attribute_list(), **detector}
    assert stage.identity().models["detector"] == f"sha256:{nanodet.SHA256}"
    assert ObjectsStage(ObjectsConfig(attributes=NO_ATTRIBUTES)).identity().tools == detector
    from_folder = ObjectsConfig(detector=str(folders["yolos"]), attributes=NO_ATTRIBUTES)
    assert ObjectsStage(from_folder).identity().tools == opencv
    if HAS_EFFICIENTNET:
        assert ObjectsStage(ObjectsConfig()).identity().tools == {"kinds": digest_kinds(), **detector}


def test_floors_are_semantic_and_the_device_is_not():
    default = ObjectsConfig()
    for semantic in ({"floor": 0.3}, {"attributes": "none"}, {"most": 5}, {"detector_revision": "v1"}):
        assert ObjectsConfig.model_validate(semantic).of_role(SEMANTIC) != default.of_role(SEMANTIC)
    assert ObjectsConfig(device="cuda", batch=1).of_role(SEMANTIC) == default.of_role(SEMANTIC)
    assert ObjectsConfig(device="cuda", batch=1).of_role(EXECUTION) != default.of_role(EXECUTION)
