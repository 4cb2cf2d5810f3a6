"""Objects and their attributes with models of the hub: any detector, and any CLIP-like model.

ITA took both from VinVL, whose attribute head was trained on Visual Genome. Here a zero-shot model chooses
among the attributes written out in `attributes.yaml`, so that no such training is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stages.base import StageError
from stages.models.devices import pick_device
from stages.models.loading import load_pretrained, load_weights, read_model_type
from stages.objects.boxes import Boxes

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


ELONGATED = 16


class BatchDetector(ABC):
    """A detector of transformers that looks at several pictures at once.

    `prepare` is its image processor, `names` what the numbers in its results stand for, `device` where it is.
    """

    prepare: Any
    names: Mapping[int, str]
    device: str

    def detect(self, pictures: Sequence[Image], floor: float) -> list[Boxes]:
        """What scores above `floor`, cut to each picture; boxes of which nothing is left are dropped.

        Pictures that come to one size are looked at together. Others are not: padded to the largest of a batch,
        their boxes would depend on their neighbours.
        """
        import torch

        padded = [pad_elongated(picture) for picture in pictures]
        inputs = [self.prepare(images=picture, return_tensors="pt") for picture in padded]
        alike: dict[torch.Size, list[int]] = {}
        for number, given in enumerate(inputs):
            alike.setdefault(given["pixel_values"].shape, []).append(number)
        found: dict[int, Boxes] = {}
        for numbers in alike.values():
            together = {name: torch.cat([inputs[n][name] for n in numbers]) for name in inputs[numbers[0]]}
            sizes = [(padded[n].height, padded[n].width) for n in numbers]
            with torch.inference_mode():
                results = self.look(
                    {name: tensor.to(self.device) for name, tensor in together.items()}, floor, sizes
                )
            for n, result in zip(numbers, results, strict=True):
                found[n] = cut_to(pictures[n].size, result, self.names)
        return [found[number] for number in range(len(pictures))]

    @abstractmethod
    def look(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        """For each picture, of height and width `sizes`, the tensors `boxes` (n, 4) xyxy in pixels, `scores` (n,)
        and `labels` (n,), which are numbers of `names`, of what scores above `floor`.
        """


class HubDetector(BatchDetector):
    """Any detector of `AutoModelForObjectDetection`: DETR, RT-DETR, D-FINE, YOLOS and others."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load the detector `model`, exactly the weights of `identity`.

        Raises:
            StageError: it is incomplete or no detector.
        """
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        refuse_others(model, identity)
        self.device = pick_device(device)
        self.prepare = load_pretrained(AutoImageProcessor.from_pretrained, model, identity)
        self.model: Any = load_weights(AutoModelForObjectDetection.from_pretrained, model, identity, self.device)
        self.names = self.model.config.id2label

    def look(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        outputs = self.model(**inputs)
        return self.prepare.post_process_object_detection(outputs, threshold=floor, target_sizes=sizes)


def refuse_others(model: str, identity: str) -> None:
    """Say so where a model is no detector; one without a readable configuration is refused where it is loaded.

    Raises:
        StageError: it is of a kind that transformers knows and takes for none.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

    kind = read_model_type(model, identity)
    if kind in CONFIG_MAPPING and kind not in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        raise StageError(
            f"the model {model} is no detector but of the kind {kind}",
            "name a model of AutoModelForObjectDetection (DETR, RT-DETR, YOLOS …), "
            "or one that is asked with words (OWLv2, Grounding DINO)",
        )


def cut_to(size: tuple[int, int], found: Any, names: Mapping[int, str]) -> Boxes:
    """A result of transformers as boxes within a picture of this width and height."""
    import numpy as np

    xyxy = np.clip(found["boxes"].cpu().numpy().reshape(-1, 4), 0, size * 2)
    labels = [names[index] for index in found["labels"].tolist()]
    boxes = Boxes(xyxy, found["scores"].cpu().numpy(), labels)
    return boxes.pick(np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)))


def pad_elongated(picture: Image) -> Image:
    """The picture, widened with black at its right or bottom where a side would shrink to nothing.

    Processors keep the shape, so that a picture of 3x2000 would come to fewer pixels than a patch has.
    """
    from PIL import Image

    width, height = picture.size
    size = (max(width, -(-height // ELONGATED)), max(height, -(-width // ELONGATED)))
    if size == picture.size:
        return picture
    padded = Image.new("RGB", size)
    padded.paste(picture)
    return padded
