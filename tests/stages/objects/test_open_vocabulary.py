"""Detectors of each supported kind, with random weights from a folder: they say what their documented calls say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.base import StageError
from stages.models.loading import read_model_type
from stages.objects.boxes import Boxes, concatenate
from stages.objects.hub_detectors import BatchDetector, HubDetector
from stages.objects.open_vocabulary import PROMPT, GroundingDinoDetector, OwlDetector, find_detector_type
from stages.objects.schema import NO_ATTRIBUTES, ObjectsConfig
from stages.objects.stage import ObjectsStage
from tests.support.stages_fixtures import ODD, check, look, noise
from tests.support.tiny_detectors import (
    build_d_fine,
    build_detr,
    build_grounding_dino,
    build_mm_grounding_dino,
    build_owl,
    build_owlvit,
    build_rt_detr_v2,
)
from tests.support.tiny_models import LABELS, build_clip, build_rt_detr, build_yolos

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "detr": build_detr,
    "yolos": build_yolos,
    "rt_detr": build_rt_detr,
    "rt_detr_v2": build_rt_detr_v2,
    "d_fine": build_d_fine,
    "owlvit": build_owlvit,
    "owlv2": build_owl,
    "grounding_dino": build_grounding_dino,
    "mm_grounding_dino": build_mm_grounding_dino,
}
CLASSES = ["detr", "yolos", "rt_detr", "rt_detr_v2", "d_fine"]
WORDED = ["owlvit", "owlv2", "grounding_dino", "mm_grounding_dino"]
# Longer than one text of the small Grounding DINO, which takes five of the single words.
WORDS = ("Dog", "red bus", "tree", "old man", "camera", "cat", "wooden house", "street", "woman", "blue thing")
PICTURE = noise(200, 120)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in BUILDERS.items()}


@pytest.fixture(scope="module")
def detectors(folders: dict[str, Path]) -> dict[str, BatchDetector]:
    classes = {name: HubDetector(str(folders[name]), "", "cpu") for name in CLASSES}
    return {**classes, **{name: asked(folders[name], WORDS) for name in WORDED}}


def asked(folder: Path, words: Sequence[str]) -> BatchDetector:
    detector_type = find_detector_type(str(folder), "")
    assert detector_type is not None
    return detector_type(str(folder), "", "cpu", words)


def ordered(boxes: Boxes) -> Boxes:
    """In an order that does not depend on the detector's."""
    return boxes.pick(np.lexsort((*boxes.xyxy.T.round(1), -boxes.scores.round(4))))


def same(boxes: Boxes, expected: Boxes) -> None:
    ours, theirs = ordered(boxes), ordered(expected)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=0.1)
    assert ours.labels == theirs.labels


def documented(folder: Path, words: Sequence[str], floor: float) -> list[dict[str, Any]]:
    """What the documentation of transformers writes, for `PICTURE`."""
    import torch
    from transformers import (
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    size = torch.tensor([(PICTURE.height, PICTURE.width)])
    if not words:
        processor = AutoImageProcessor.from_pretrained(folder)
        model = AutoModelForObjectDetection.from_pretrained(folder).eval()
        inputs = processor(images=PICTURE, return_tensors="pt")
        with torch.no_grad():
            return processor.post_process_object_detection(model(**inputs), threshold=floor, target_sizes=size)
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=PICTURE, text=[list(words)], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    return processor.post_process_grounded_object_detection(outputs, threshold=floor, target_sizes=size)


def in_picture(found: dict[str, Any], labels: list[str]) -> Boxes:
    xyxy = found["boxes"].numpy().clip(0, [PICTURE.width, PICTURE.height] * 2)
    boxes = Boxes(xyxy, found["scores"].numpy(), labels)
    return boxes.pick(np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)))


def middle_score(detector: BatchDetector) -> float:
    (every,) = detector.detect([PICTURE], 0.0)
    assert len(np.unique(every.scores.round(3))) > 3
    return float(np.median(every.scores)) + 1e-6


@pytest.mark.parametrize("name", CLASSES)
def test_a_detector_with_classes_equals_its_documented_call(
    folders: dict[str, Path], detectors: dict[str, BatchDetector], name: str
):
    floor = middle_score(detectors[name])
    (found,) = documented(folders[name], (), floor)
    (boxes,) = detectors[name].detect([PICTURE], floor)
    assert len(boxes) > 2
    same(boxes, in_picture(found, [LABELS[number] for number in found["labels"].tolist()]))


@pytest.mark.parametrize("name", ["owlvit", "owlv2"])
def test_owl_equals_its_documented_call(folders: dict[str, Path], detectors: dict[str, BatchDetector], name: str):
    floor = middle_score(detectors[name])
    (found,) = documented(folders[name], [PROMPT.format(word) for word in WORDS], floor)
    (boxes,) = detectors[name].detect([PICTURE], floor)
    assert len(boxes) > 2
    assert len(set(boxes.labels)) > 1
    same(boxes, in_picture(found, [WORDS[number] for number in found["labels"].tolist()]))


@pytest.mark.parametrize("name", ["grounding_dino", "mm_grounding_dino"])
def test_grounding_dino_equals_its_documented_call(folders: dict[str, Path], name: str):
    words = WORDS[:4]
    detector = asked(folders[name], words)
    floor = middle_score(detector)
    (found,) = documented(folders[name], words, floor)
    (boxes,) = detector.detect([PICTURE], floor)
    assert len(boxes) > 2
    same(Boxes(boxes.xyxy, boxes.scores, [""] * len(boxes)), in_picture(found, [""] * len(found["scores"])))


def test_grounding_dino_labels_a_box_with_the_word_of_its_best_token(folders: dict[str, Path]):
    """Of the words asked alone, that one would have the best score, had the others not been asked beside it."""
    import torch
    from transformers import AutoProcessor, GroundingDinoForObjectDetection

    words, folder = WORDS[:4], folders["grounding_dino"]
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=PICTURE, text=[list(words)], return_tensors="pt")
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    assert tokens == ["[CLS]", "dog", ".", "red", "bus", ".", "tree", ".", "old", "man", ".", "[SEP]"]
    words_of_tokens = {1: "Dog", 3: "red bus", 4: "red bus", 6: "tree", 8: "old man", 9: "old man"}
    with torch.no_grad():
        scores = GroundingDinoForObjectDetection.from_pretrained(folder).eval()(**inputs).logits[0].sigmoid()
    best = [max(words_of_tokens, key=lambda token, row=row: row[token]) for row in scores.tolist()]
    of_score = {
        round(max(row), 4): words_of_tokens[token] for row, token in zip(scores.tolist(), best, strict=True)
    }
    (boxes,) = asked(folder, words).detect([PICTURE], 0.0)
    told = {round(float(score), 4): label for score, label in zip(boxes.scores, boxes.labels, strict=True)}
    assert len(set(told.values())) > 1
    assert told == {score: of_score[score] for score in told}


def test_a_long_vocabulary_is_split_into_queries_and_the_results_are_combined(
    folders: dict[str, Path], detectors: dict[str, BatchDetector]
):
    detector = detectors["grounding_dino"]
    assert isinstance(detector, GroundingDinoDetector)
    lengths = [question.inputs["input_ids"].shape[1] for question in detector.queries]
    assert len(lengths) > 1
    assert max(lengths) <= 16
    asked_for = [number for question in detector.queries for number in question.word_of.unique().tolist()]
    assert sorted(number for number in asked_for if number >= 0) == list(range(len(WORDS)))
    (together,) = detector.detect([PICTURE], 0.0)
    parts = [
        asked(folders["grounding_dino"], [WORDS[n] for n in question.word_of.unique().tolist() if n >= 0])
        for question in detector.queries
    ]
    alone = [part.detect([PICTURE], 0.0)[0] for part in parts]
    assert len(together) == sum(map(len, alone))
    same(together, concatenate(alone))


@pytest.mark.parametrize("name", [*CLASSES, *WORDED])
def test_a_batch_equals_its_pictures_one_by_one(detectors: dict[str, BatchDetector], name: str):
    pictures = [noise(200, 120, 1), noise(90, 160, 2), noise(200, 120, 3), *ODD]
    detector = detectors[name]
    floor = middle_score(detector)
    for picture, together in zip(pictures, detector.detect(pictures, floor), strict=True):
        (alone,) = detector.detect([picture], floor)
        same(together, alone)
        assert len(together) == 0 or (together.xyxy[:, 2:] <= np.array(picture.size) + 1e-3).all()


@pytest.mark.parametrize("name", [*CLASSES, *WORDED])
def test_the_stage_runs_each_kind_of_detector(folders: dict[str, Path], tmp_path: Path, name: str):
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    config = ObjectsConfig(
        detector=str(folders[name]),
        attributes=NO_ATTRIBUTES,
        vocabulary=str(tmp_path / "words.txt"),
        floor=0.001,
    )
    found = look(ObjectsStage(config), PICTURE, *ODD)
    assert found[0].objects
    for value in found:
        check(value, config)
        assert {thing.label for thing in value.objects} <= set(WORDS if name in WORDED else LABELS.values())


@pytest.mark.parametrize(("name", "most"), [("owlv2", 48), ("grounding_dino", 14)])
def test_a_word_that_is_too_long_for_the_model_is_an_error(folders: dict[str, Path], name: str, most: int):
    word = " ".join(["cat"] * most)
    with pytest.raises(StageError, match="is too long for") as raised:
        asked(folders[name], ["dog", word])
    assert "vocabulary" in raised.value.hint


def test_a_model_that_is_not_a_detector_is_an_error(tmp_path: Path):
    folder = build_clip(tmp_path)
    stage = ObjectsStage(ObjectsConfig(detector=str(folder), attributes=NO_ATTRIBUTES))
    with pytest.raises(StageError, match="is a clip model, not a detector") as raised:
        stage.open()
    assert "OWLv2" in raised.value.hint
    assert "RT-DETR" in raised.value.hint


def test_the_configuration_determines_the_class_of_a_detector(folders: dict[str, Path], tmp_path: Path):
    assert read_model_type(str(folders["grounding_dino"]), "") == "grounding-dino"
    assert isinstance(asked(folders["owlvit"], ["dog"]), OwlDetector)
    for content in ("", "[]", "{}", "{", '{"model_type": null}', "[" * 100_000):
        (tmp_path / "config.json").write_text(content)
        assert read_model_type(str(tmp_path), "") == ""
    assert read_model_type(str(tmp_path / "nothing"), "") == ""
