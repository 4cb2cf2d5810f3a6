"""Objects and attributes: the shipped models on drawn pictures, and what is said of each box."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.base import Failure, StageError
from stages.objects import nanodet
from stages.objects.boxes import Boxes
from stages.objects.schema import NO_ATTRIBUTES, Attribute, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage
from tests.support.stages_fixtures import (
    CSS,
    ODD,
    bad_item,
    check,
    item_of,
    look,
    needs_efficientnet,
    overlap,
    plain,
    stop_sign,
)

# -- the shipped detector


@pytest.fixture(scope="module")
def bundled() -> ObjectsStage:
    return ObjectsStage(ObjectsConfig(attributes=NO_ATTRIBUTES))


def test_a_stop_sign_is_detected_with_its_box(bundled: ObjectsStage):
    (value,) = look(bundled, stop_sign())
    assert (value.width, value.height) == (640, 480)
    sign = value.objects[0]
    assert sign.label == "stop sign"
    assert sign.score > 0.6
    assert overlap(np.array(sign.box), np.array([190, 90, 450, 350])) > 0.7
    check(value, bundled.config)


def test_the_box_moves_with_the_sign(bundled: ObjectsStage):
    canvas = plain((135, 180, 225), 900, 1200)
    canvas.paste(stop_sign(), (200, 600))
    (value,) = look(bundled, canvas)
    assert value.objects[0].label == "stop sign"
    assert overlap(np.array(value.objects[0].box), np.array([390, 690, 650, 950])) > 0.7


def test_a_low_floor_keeps_the_order_and_the_limits():
    config = ObjectsConfig(attributes=NO_ATTRIBUTES, floor=0.02, most=30)
    (value,) = look(ObjectsStage(config), stop_sign())
    assert len(value.objects) > 5
    check(value, config)


def test_tiny_and_elongated_pictures_have_valid_values(bundled: ObjectsStage):
    for value in look(bundled, *ODD):
        check(value, bundled.config)
    assert look(bundled, ODD[-1])[0].objects == ()


def test_a_bad_picture_is_a_failure(bundled: ObjectsStage):
    values = bundled.run([bad_item(), item_of(stop_sign())])
    assert isinstance(values[0], Failure)
    assert isinstance(values[1], ObjectsValue)
    assert values[1].objects


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_damaged_detector_is_an_error(content: bytes | None, tmp_path: Path):
    weights = tmp_path / "weights.onnx"
    if content is not None:
        weights.write_bytes(content + nanodet.WEIGHTS.read_bytes()[len(content) or 10**9 :])
    with pytest.raises(StageError) as raised:
        nanodet.NanoDet(weights)
    assert "reinstall" in raised.value.hint


def test_a_broken_opencv_is_an_error_before_any_picture_is_processed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(StageError, match="OpenCV cannot be loaded") as raised:
        ObjectsStage(ObjectsConfig()).open()
    assert "libgl1" in raised.value.hint


# -- attributes


class Two:
    """A detector that sees a person at the left and a bus at the right, whatever the picture."""

    labels = ("person", "bus")

    def detect(self, pictures: Sequence[Image.Image], floor: float) -> list[Boxes]:
        return [self.halves(picture) for picture in pictures]

    def halves(self, picture: Image.Image) -> Boxes:
        half = picture.width / 2
        xyxy = np.array([[0, 0, half, picture.height], [half, 0, picture.width, picture.height]])
        return Boxes(xyxy, np.array([0.9, 0.8]), list(self.labels))


class Silent:
    """An attributor that says nothing."""

    def accepts(self, label: str) -> bool:
        return True

    def classify(
        self, crops: Sequence[Image.Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]:
        return [[] for _ in crops]


class Named(Silent):
    """Says of each crop how wide it is and what it was told."""

    def classify(
        self, crops: Sequence[Image.Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]:
        return [[(f"{label} of {crop.width}", 0.5)] for crop, label in zip(crops, labels, strict=True)]


def test_a_bus_has_a_color_and_a_person_has_none():
    stage = ObjectsStage(ObjectsConfig())
    stage.detector, stage.attributor = Two(), Silent()
    (value,) = look(stage, plain(CSS["red"], 200, 100))
    person, bus = value.objects
    assert person.attributes == ()
    assert bus.attributes == (Attribute(label="red", score=1.0),)


def test_no_object_is_named_grey():
    """White things in the shade are."""
    stage = ObjectsStage(ObjectsConfig())
    stage.detector, stage.attributor = Two(), Silent()
    (value,) = look(stage, plain(CSS["grey"], 200, 100))
    assert all(thing.attributes == () for thing in value.objects)


def test_attributes_belong_to_their_boxes_on_any_device(monkeypatch: pytest.MonkeyPatch):
    pictures = [plain(CSS["white"], 2 * width, 100) for width in (40, 60, 50)]
    pictures.insert(1, plain(CSS["white"], 200, 10))
    expected = [
        ["person of 40", "bus of 40"],
        ["", ""],
        ["person of 60", "bus of 60"],
        ["person of 50", "bus of 50"],
    ]
    for gpu in (False, True):
        monkeypatch.setattr(ObjectsStage, "device", "cuda" if gpu else "cpu")
        stage = ObjectsStage(ObjectsConfig(workers=3))
        stage.detector, stage.attributor = Two(), Named()
        found = [[thing.attributes for thing in value.objects] for value in look(stage, *pictures)]
        words = [[" ".join(a.label for a in some if a.label not in CSS) for some in value] for value in found]
        assert words == expected


def test_library_threads_are_limited_while_running_and_restored_afterwards():
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    inside: list[tuple[int, int]] = []

    class Counting(Two):
        def detect(self, pictures: Sequence[Image.Image], floor: float) -> list[Boxes]:
            inside.append((cv2.getNumThreads(), torch.get_num_threads()))
            return super().detect(pictures, floor)

    stage = ObjectsStage(ObjectsConfig(workers=2))
    stage.detector, stage.attributor = Counting(), Silent()
    look(stage, *[plain(CSS["red"], 200, 100)] * 4)
    assert inside == [(1, 1)] * 4
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_with_a_detector_on_a_device_crops_are_classified_on_all_cores(monkeypatch: pytest.MonkeyPatch):
    meet = threading.Barrier(2, timeout=30)

    class Meeting(Named):
        def classify(
            self, crops: Sequence[Image.Image], labels: Sequence[str], floor: float
        ) -> list[list[tuple[str, float]]]:
            meet.wait()  # passes only where two are asked at the same time
            return super().classify(crops, labels, floor)

    pictures = [plain(CSS["red"], 200, 100)] * 3
    stage = ObjectsStage(ObjectsConfig(workers=2))
    stage.detector, stage.attributor = Two(), Named()
    expected = look(stage, *pictures)
    monkeypatch.setattr(ObjectsStage, "device", property(lambda self: "cuda"))
    stage.attributor = Meeting()
    assert look(stage, *pictures) == expected


@pytest.mark.parametrize(("settings", "sizes"), [({"attribute_side": 101}, 0), ({"attributed": 1}, 1), ({}, 2)])
def test_only_large_boxes_up_to_the_limit_are_classified(settings: dict[str, int], sizes: int):
    asked: list[tuple[int, int]] = []

    class Listening(Silent):
        def classify(
            self, crops: Sequence[Image.Image], labels: Sequence[str], floor: float
        ) -> list[list[tuple[str, float]]]:
            asked.extend(crop.size for crop in crops)
            return super().classify(crops, labels, floor)

    stage = ObjectsStage(ObjectsConfig.model_validate(settings))
    stage.detector, stage.attributor = Two(), Listening()
    look(stage, plain(CSS["red"], 200, 100))
    assert asked == [(100, 100)] * sizes


@needs_efficientnet
def test_the_bundled_models_run_together():
    (value,) = look(ObjectsStage(ObjectsConfig()), stop_sign())
    assert [attribute.label for attribute in value.objects[0].attributes] == ["red"]


@needs_efficientnet
def test_the_bundled_models_do_not_load_torch():
    """Loading it takes longer than looking at dozens of pictures."""
    script = """
import sys
from tests.support.stages_fixtures import look, stop_sign
from stages.objects import ObjectsConfig, ObjectsStage
assert look(ObjectsStage(ObjectsConfig()), stop_sign())[0].objects
print({"torch", "torchvision", "timm", "transformers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "set()\n"
