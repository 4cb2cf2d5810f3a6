"""Objects and attributes: the shipped models on drawn pictures, overlaps and colours."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages import nanodet
from stages.base import Failure, StageError
from stages.colours import dominant_colour
from stages.detection import Boxes, agreed, suppress
from stages.objects import NO_ATTRIBUTES, Attribute, ObjectsConfig, ObjectsStage, ObjectsValue, described
from tests.stages_fixtures import ODD, bad_item, check, item_of, look, needs_efficientnet, overlap, plain, stop_sign

# -- the shipped detector


@pytest.fixture(scope="module")
def bundled() -> ObjectsStage:
    return ObjectsStage(ObjectsConfig(attributes=NO_ATTRIBUTES))


def test_a_stop_sign_is_found_where_it_is(bundled: ObjectsStage):
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


def test_odd_pictures_do_not_break_it(bundled: ObjectsStage):
    for value in look(bundled, *ODD):
        check(value, bundled.config)
    assert look(bundled, ODD[-1])[0].objects == ()


def test_a_bad_picture_is_a_failure(bundled: ObjectsStage):
    values = bundled.run([bad_item(), item_of(stop_sign())])
    assert isinstance(values[0], Failure)
    assert isinstance(values[1], ObjectsValue)
    assert values[1].objects


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_damaged_detector_is_refused(content: bytes | None, tmp_path: Path):
    weights = tmp_path / "weights.onnx"
    if content is not None:
        weights.write_bytes(content + nanodet.WEIGHTS.read_bytes()[len(content) or 10**9 :])
    with pytest.raises(StageError) as raised:
        nanodet.NanoDet(weights)
    assert "reinstall" in raised.value.hint


# -- suppression

side = st.integers(1, 60)
box = st.tuples(st.integers(0, 60), st.integers(0, 60), side, side)
found = st.tuples(box, st.integers(1, 100), st.sampled_from(["cat", "dog", "bus"]))
limit = st.sampled_from([0.1, 0.35, 0.5, 0.65, 0.9])


@given(st.lists(found, min_size=1, max_size=25), limit, limit, st.integers(1, 30))
def test_suppression(things: list, within: float, across: float, most: int):
    xyxy = np.array([[x, y, x + width, y + height] for (x, y, width, height), _, _ in things], float)
    scores = np.array([score / 100 for _, score, _ in things], np.float32)
    boxes = Boxes(xyxy, scores, [label for _, _, label in things])
    kept = suppress(boxes, within, across, most)
    assert 1 <= len(kept) <= most
    assert kept.scores[0] == scores.max()
    assert list(kept.scores) == sorted(kept.scores, reverse=True)
    given_boxes = {
        (*row, score, label) for row, score, label in zip(xyxy.tolist(), scores, boxes.labels, strict=True)
    }
    for index, (row, label) in enumerate(zip(kept.xyxy, kept.labels, strict=True)):
        assert (*row.tolist(), kept.scores[index], label) in given_boxes
        for before in range(index):
            bound = min(within, across) if kept.labels[before] == label else across
            assert overlap(row, kept.xyxy[before]) <= bound + 1e-5
    every = suppress(boxes, within, across, len(things))
    stayed = {
        (*row, score, label)
        for row, score, label in zip(every.xyxy.tolist(), every.scores, every.labels, strict=True)
    }
    for dropped in given_boxes - stayed:
        assert any(suppresses(better, dropped, within, across) for better in given_boxes - {dropped})


def suppresses(better: tuple, box: tuple, within: float, across: float) -> bool:
    *row, score, label = box
    *other, higher, other_label = better
    bound = min(within, across) if label == other_label else across
    return higher >= score and overlap(np.array(row), np.array(other)) > bound - 1e-5


def test_nothing_to_suppress():
    empty = Boxes(np.empty((0, 4)), np.empty(0), [])
    assert len(suppress(empty, 0.5, 0.5, 10)) == 0


def test_two_kinds_side_by_side_stay():
    boxes = Boxes(np.array([[0, 0, 10, 10], [4, 0, 14, 10.0]]), np.array([0.9, 0.8]), ["person", "horse"])
    assert suppress(boxes, 0.3, 0.65, 10).labels == ["person", "horse"]


# -- several views of one picture


def seen(*boxes: tuple[list[float], float, str]) -> Boxes:
    xyxy = np.array([box for box, _, _ in boxes], float).reshape(-1, 4)
    return Boxes(xyxy, np.array([score for _, score, _ in boxes]), [label for _, _, label in boxes])


def test_what_both_views_show_is_one_thing_and_what_one_shows_counts_half():
    left = seen(([0, 0, 10, 10], 0.9, "cat"), ([50, 50, 60, 60], 0.8, "dog"))
    right = seen(([0, 0, 10, 12], 0.3, "cat"), ([0, 0, 10, 10], 0.6, "dog"))
    found = agreed([left, right], 0.5)
    assert found.labels == ["cat", "dog", "dog"]
    assert found.scores == pytest.approx([0.6, 0.4, 0.3])
    assert found.xyxy[0] == pytest.approx([0, 0, 10, 10.5])


def test_of_one_view_only_the_best_box_of_a_thing_counts():
    left = seen(([0, 0, 10, 10], 0.8, "cat"), ([0, 0, 10, 9], 0.7, "cat"))
    found = agreed([left, seen()], 0.5)
    assert found.labels == ["cat"]
    assert found.scores == pytest.approx([0.4])
    assert len(agreed([seen(), seen()], 0.5)) == 0


@given(st.lists(found, max_size=12), st.lists(found, max_size=12))
def test_views_agree_whichever_comes_first(a: list, b: list):
    # Scores that differ, since of equal ones the first is taken.
    views = [
        seen(
            *(
                ([x, y, x + w, y + h], (score + (i + 13 * number) / 100) / 120, label)
                for i, ((x, y, w, h), score, label) in enumerate(some)
            )
        )
        for number, some in enumerate((a, b))
    ]
    one, other = agreed(views, 0.4), agreed(views[::-1], 0.4)
    assert sorted(one.scores) == pytest.approx(sorted(other.scores))
    assert sorted(one.labels) == sorted(other.labels)
    assert len(one) <= len(a) + len(b)


# -- colours

# The named colours of CSS, for brown "saddlebrown": none of them is a centre of the palette.
CSS = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 192, 203),
    "brown": (139, 69, 19),
}


@pytest.mark.parametrize("name", CSS)
def test_a_plain_patch_has_its_colour(name: str):
    assert dominant_colour(np.asarray(plain(CSS[name]))) == (name, 1.0)


@pytest.mark.parametrize("blue", [(65, 105, 225), (25, 50, 120), (70, 130, 180), (30, 60, 200)])
def test_usual_blues_are_blue(blue: tuple[int, int, int]):
    assert dominant_colour(np.asarray(plain(blue))) == ("blue", 1.0)


def test_two_halves_share():
    halves = plain((255, 0, 0), 100, 80)
    halves.paste((65, 105, 225), (50, 0, 100, 80))
    name, share = dominant_colour(np.asarray(halves))
    assert name in ("red", "blue")
    assert share == pytest.approx(0.5, abs=0.03)


def test_the_edge_does_not_count():
    framed = plain((0, 128, 0), 100, 100)
    framed.paste((255, 0, 0), (20, 20, 80, 80))
    assert dominant_colour(np.asarray(framed)) == ("red", 1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 3)])
def test_tiny_patches_have_colours(size: tuple[int, int]):
    assert dominant_colour(np.asarray(plain(CSS["green"], *size)))[0] == "green"


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

    def knows(self, label: str) -> bool:
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


def test_a_bus_has_a_colour_and_a_person_has_none():
    stage = ObjectsStage(ObjectsConfig())
    stage.detector, stage.attributor = Two(), Silent()
    (value,) = look(stage, plain(CSS["red"], 200, 100))
    person, bus = value.objects
    assert person.attributes == ()
    assert bus.attributes == (Attribute(label="red", score=1.0),)


@pytest.mark.parametrize("label", ["horse", "teddy bear"])
def test_what_is_green_around_an_animal_is_not_the_animal(label: str):
    assert described(label, [("green", 0.9), ("brown", 0.8)]) == (Attribute(label="brown", score=0.8),)


def test_nothing_is_called_grey():
    """White things in the shade are."""
    stage = ObjectsStage(ObjectsConfig())
    stage.detector, stage.attributor = Two(), Silent()
    (value,) = look(stage, plain(CSS["grey"], 200, 100))
    assert all(thing.attributes == () for thing in value.objects)


def test_attributes_belong_to_their_boxes_however_pictures_are_spread(monkeypatch: pytest.MonkeyPatch):
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


def test_no_more_threads_than_before_are_left_to_others():
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


def test_beside_a_detector_on_a_device_crops_go_to_all_cores(monkeypatch: pytest.MonkeyPatch):
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


@pytest.mark.parametrize("label", ["person", "Woman", "young boy"])
def test_no_model_gives_people_a_colour(label: str):
    attributes = [("white", 0.9), ("smiling", 0.8), ("golden", 0.7)]
    assert described(label, attributes) == (Attribute(label="smiling", score=0.8),)
    assert len(described("bus", attributes)) == 3


@pytest.mark.parametrize(("settings", "sizes"), [({"attribute_side": 101}, 0), ({"attributed": 1}, 1), ({}, 2)])
def test_only_some_boxes_are_asked_about(settings: dict[str, int], sizes: int):
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
def test_the_bundled_models_together():
    (value,) = look(ObjectsStage(ObjectsConfig()), stop_sign())
    assert [attribute.label for attribute in value.objects[0].attributes] == ["red"]


@needs_efficientnet
def test_the_bundled_models_do_without_torch():
    """Loading it takes longer than looking at dozens of pictures."""
    script = """
import sys
from tests.stages_fixtures import look, stop_sign
from stages.objects import ObjectsConfig, ObjectsStage
assert look(ObjectsStage(ObjectsConfig()), stop_sign())[0].objects
print({"torch", "torchvision", "timm", "transformers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "set()\n"
