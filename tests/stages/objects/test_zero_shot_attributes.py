"""Attributes by zero-shot classification, compared with the whole model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.objects.attributes import load_attribute_list
from stages.objects.zero_shot_attributes import ZeroShotAttributes
from tests.support.stages_fixtures import noise, plain
from tests.support.tiny_models import build_clip, build_siglip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    builders = {"clip": build_clip, "siglip": build_siglip}
    return {name: build(tmp_path_factory.mktemp(name)) for name, build in builders.items()}


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_attributes_equal_those_of_the_whole_model(folders: dict[str, Path], name: str):
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
