"""The stage `similarity`, compared with the whole model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.base import Failure, Item, StageError
from stages.objects.similarity import SENTENCE, SimilarityConfig, SimilarityStage, SimilarityValue
from tests.support.stages_fixtures import noise
from tests.support.tiny_detectors import build_detr
from tests.support.tiny_models import build_clip, build_siglip

PICTURE = noise(200, 120)
BOXES = ((10.0, 10.0, 60.0, 50.0), (80.0, 20.0, 190.0, 110.0), (0.0, 60.0, 70.0, 120.0))


def item(texts: list[str], boxes: object) -> Item:
    text = json.dumps({"texts": texts, "boxes": boxes})
    return Item("a", "a", lambda: PICTURE, text=text)


@pytest.mark.parametrize("build", [build_clip, build_siglip])
def test_shares_are_those_of_the_whole_model_over_the_boxes(build: Callable[[Path], Path], tmp_path: Path):
    import torch
    from transformers import AutoModel, AutoProcessor

    folder = build(tmp_path)
    stage, texts = SimilarityStage(SimilarityConfig(model=str(folder))), ["red bus", "dog"]
    (value,) = stage.run([item(texts, BOXES)])
    assert isinstance(value, SimilarityValue)
    inputs = AutoProcessor.from_pretrained(folder)(
        text=[SENTENCE.format(text) for text in texts],
        images=[PICTURE.crop(tuple(map(int, box))) for box in BOXES],
        padding="max_length" if build is build_siglip else True,
        truncation=True,
        return_tensors="pt",
    )
    if build is build_siglip:
        del inputs["attention_mask"]
    with torch.no_grad():
        logits = AutoModel.from_pretrained(folder).eval()(**inputs).logits_per_image
    np.testing.assert_allclose(np.array(value.shares), logits.T.softmax(1).numpy(), atol=1e-5)


def test_boxes_outside_the_picture_and_nothing_to_compare_are_handled(tmp_path: Path):
    stage = SimilarityStage(SimilarityConfig(model=str(build_clip(tmp_path))))
    outside, no_box, no_text, no_picture = stage.run(
        [
            item(["dog"], [[-1e12, -5, 1e12, 1e12], [500, 500, 500, 500]]),
            item(["dog"], []),
            item([], BOXES),
            Item("a", "a", None, text=json.dumps({"texts": ["dog"], "boxes": BOXES})),
        ]
    )
    assert isinstance(outside, SimilarityValue)
    assert sum(outside.shares[0]) == pytest.approx(1, abs=1e-5)
    assert no_box == SimilarityValue(shares=((),))
    assert no_text == SimilarityValue(shares=())
    assert isinstance(no_picture, Failure)


def test_a_model_of_another_kind_is_refused(tmp_path: Path):
    stage = SimilarityStage(SimilarityConfig(model=str(build_detr(tmp_path))))
    with pytest.raises(StageError, match="does not compare images with texts") as caught:
        stage.identity()
    assert "grounding.similarity=" in caught.value.hint


def test_the_key_depends_on_the_weights_and_not_on_their_place(tmp_path: Path):
    one, other = (SimilarityStage(SimilarityConfig(model=str(build_clip(tmp_path / name)))) for name in "ab")
    assert one.identity() == other.identity()
    assert one.parameters() == {"sentence": SENTENCE}
