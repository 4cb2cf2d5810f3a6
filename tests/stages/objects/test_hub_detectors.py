"""Detectors of transformers with random weights, and what they add to the identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.objects.attributes import load_attribute_list
from stages.objects.hub_detectors import HubDetector, pad_elongated
from stages.objects.schema import NO_ATTRIBUTES, ObjectsConfig
from stages.objects.stage import ObjectsStage
from tests.support.stages_fixtures import ODD, check, look, noise
from tests.support.tiny_models import LABELS, build_clip, build_rt_detr, build_siglip, build_yolos

# -- models from folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    builders = {"yolos": build_yolos, "rt_detr": build_rt_detr, "clip": build_clip, "siglip": build_siglip}
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in builders.items()}


@pytest.mark.parametrize(("detector", "attributes"), [("yolos", "clip"), ("rt_detr", "siglip")])
def test_models_are_loaded_from_folders(folders: dict[str, Path], detector: str, attributes: str):
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


def test_without_a_classifier_objects_have_no_attributes(folders: dict[str, Path]):
    config = ObjectsConfig(detector=str(folders["yolos"]), attributes=NO_ATTRIBUTES, attribute_side=1)
    stage = ObjectsStage(config)
    (value,) = look(stage, noise(200, 120))
    assert value.objects
    assert all(thing.attributes == () for thing in value.objects)
    assert set(stage.identity().models) == {"detector"}


def test_boxes_equal_those_of_the_model(folders: dict[str, Path]):
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


def test_a_higher_floor_gives_fewer_boxes(folders: dict[str, Path]):
    detector = HubDetector(str(folders["rt_detr"]), "", "cpu")
    (every,) = detector.detect([noise(200, 120)], 0.0)
    middle = float(np.median(every.scores))
    (some,) = detector.detect([noise(200, 120)], middle)
    assert 0 < len(some) < len(every)
    assert some.scores.min() > middle


def test_only_elongated_pictures_are_padded():
    wide = noise(2000, 3)
    padded = pad_elongated(wide)
    assert padded.size == (2000, 125)
    assert padded.crop((0, 0, 2000, 3)).tobytes() == wide.tobytes()
    usual = noise(300, 20)
    assert pad_elongated(usual) is usual
