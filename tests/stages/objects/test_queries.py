"""The stage `queries`: each item is asked for its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.base import Failure, Item, StageError
from stages.objects.open_vocabulary import find_detector_type
from stages.objects.queries import QueriesConfig, QueriesStage
from stages.objects.schema import ObjectsValue
from tests.support.stages_fixtures import noise
from tests.support.tiny_detectors import build_detr, build_grounding_dino, build_owl

PICTURE = noise(200, 120)


def item(text: str) -> Item:
    return Item(text or "-", text, lambda: PICTURE, text=text)


@pytest.mark.parametrize("build", [build_owl, build_grounding_dino])
def test_each_item_is_asked_for_its_own_words(build: Callable[[Path], Path], tmp_path: Path):
    folder = str(build(tmp_path))
    stage = QueriesStage(QueriesConfig(detector=folder, floor=0.0, overlap=1.0, most=1000))
    texts = ("dog\nred bus", "tree", "dog\nred bus")
    first, other, again = stage.run([item(text) for text in texts])
    assert first == again
    detector_type = find_detector_type(folder, "")
    assert detector_type is not None
    for text, value in ((texts[0], first), (texts[1], other)):
        words = text.split("\n")
        (expected,) = detector_type(folder, "", "cpu", words).detect([PICTURE], 0.0)
        assert isinstance(value, ObjectsValue)
        assert {one.label for one in value.objects} <= set(words)
        scores = sorted(one.score for one in value.objects)
        np.testing.assert_allclose(scores, sorted(expected.scores), atol=1e-4)


def test_nothing_and_what_is_too_long_are_not_asked_for(tmp_path: Path):
    stage = QueriesStage(QueriesConfig(detector=str(build_owl(tmp_path)), floor=0.0))
    nothing, long, no_picture = stage.run([item(""), item("dog " * 99), Item("x", "x", None, text="dog")])
    assert nothing == long == ObjectsValue(width=200, height=120, objects=())
    assert isinstance(no_picture, Failure)


def test_a_detector_of_classes_is_refused_with_one_that_looks_for_words(tmp_path: Path):
    with pytest.raises(StageError, match="cannot look for words") as caught:
        QueriesStage(QueriesConfig(detector=str(build_detr(tmp_path)))).identity()
    assert "objects.detector=" in caught.value.hint


def test_the_key_depends_on_the_weights_and_not_on_their_place(tmp_path: Path):
    stage = QueriesStage(QueriesConfig(detector=str(build_owl(tmp_path))))
    assert set(stage.identity().models) == {"detector"}
    assert "detector" not in stage.parameters()
