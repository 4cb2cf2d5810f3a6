"""The shipped classifier: it computes what timm's does, and says which kind of a thing a crop shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from stages.base import StageError
from stages.objects import efficientnet as imagenet
from stages.objects.efficientnet import EfficientNetLite2
from tests.support.stages_fixtures import clock, needs_efficientnet, noise

pytestmark = needs_efficientnet


@pytest.fixture(scope="module")
def model() -> EfficientNetLite2:
    return EfficientNetLite2()


def test_a_crop_gets_the_likeliest_kind_of_its_label(model: EfficientNetLite2):
    as_clock, as_dog, again = model.classify([clock()] * 3, ["clock", "dog", "clock"], 0.1)
    assert as_clock == again
    ((word, score),) = as_clock
    assert word in {"analog clock", "wall clock"}
    assert 0.1 <= score <= 1
    assert as_dog == []
    assert model.accepts("clock")
    assert not model.accepts("pizza")


def test_probabilities_equal_those_of_timm_with_the_same_weights(model: EfficientNetLite2):
    import timm
    import torch

    crops = [clock(), noise(300, 200, 1), noise(90, 120, 2)]
    peer = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
    content = imagenet.find_weights().read_bytes()
    stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # The package names the tensors otherwise than timm; their order is the same.
    peer.load_state_dict(dict(zip(peer.state_dict(), stored.values(), strict=True)))
    pixels = np.stack([imagenet.resize_crop(np.asarray(crop)) for crop in crops])
    with torch.inference_mode():
        logits = peer(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
    for crop, expected in zip(crops, logits.softmax(1).numpy(), strict=True):
        assert model.compute_probabilities(crop) == pytest.approx(expected, abs=1e-5)


def test_crops_of_any_shape_are_classified(model: EfficientNetLite2):
    crops = [noise(20 + 7 * index, 90 - 7 * index, index) for index in range(6)]
    labels = ["dog", "bird"] * 3
    together = model.classify(crops, labels, 0.0)
    assert [len(found) for found in together] == [1] * 6
    assert together == [model.classify([crop], [label], 0.0)[0] for crop, label in zip(crops, labels, strict=True)]


def test_weights_with_another_digest_are_rejected(tmp_path: Path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"not what was pinned")
    with pytest.raises(StageError, match="has unexpected content") as raised:
        EfficientNetLite2(weights=weights)
    assert "efficientnet-lite2" in raised.value.hint


def test_a_graph_with_another_digest_is_rejected(tmp_path: Path):
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(imagenet.GRAPH.read_bytes()[:-1])
    with pytest.raises(StageError, match="has unexpected content") as raised:
        EfficientNetLite2(graph=graph)
    assert "ita-pipeline" in raised.value.hint
