"""Objects and their attributes with models of the hub: any detector, and any CLIP-like model.

ITA took both from VinVL, whose attribute head was trained on Visual Genome. Here a zero-shot model chooses
among the attributes written out in `attributes.yaml`, so that no such training is needed.
"""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import hub
from stages.base import StageError
from stages.detection import Boxes

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

ATTRIBUTES = Path(__file__).parent / "attributes.yaml"
BATCH = 16
MOST = 3
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
        """Load the detector `model`, exactly the weights of `identity` (see `stages.hub.identify`).

        Raises:
            StageError: it is incomplete or no detector.
        """
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        refuse_others(model, identity)
        self.device = hub.pick_device(device)
        self.prepare = hub.load(AutoImageProcessor.from_pretrained, model, identity)
        self.model: Any = hub.load_weights(
            AutoModelForObjectDetection.from_pretrained, model, identity, self.device
        )
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

    kind = hub.told_kind(model, identity)
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


@dataclass(frozen=True, slots=True)
class AttributeList:
    """Groups of words that exclude each other, and the sentences that they are put into."""

    prompt: str
    neutral: str
    groups: dict[str, list[str]]

    @property
    def words(self) -> list[str]:
        return [word for group in self.groups.values() for word in group]

    @property
    def sentences(self) -> list[str]:
        """The neutral sentence, then one sentence a word."""
        return [self.neutral, *(self.prompt.format(word) for word in self.words)]


@functools.cache
def attribute_list(path: Path = ATTRIBUTES) -> AttributeList:
    """The content of `attributes.yaml`."""
    import yaml

    return AttributeList(**yaml.safe_load(path.read_text("utf-8")))


def attribute_digest(path: Path = ATTRIBUTES) -> str:
    """sha256 of what `attributes.yaml` says, whatever its layout and its comments."""
    attributes = attribute_list(path)
    said = json.dumps([attributes.prompt, attributes.neutral, list(attributes.groups.items())])
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


class ZeroShotAttributes:
    """A CLIP- or SigLIP-like model that compares a crop with one sentence an attribute."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load `model`, exactly the weights of `identity`, and encode the sentences.

        Raises:
            StageError: it is incomplete, or has no scale for cosines and so is not like CLIP.
        """
        from transformers import AutoModelForZeroShotImageClassification, AutoProcessor

        self.device = hub.pick_device(device)
        self.processor: Any = hub.load(AutoProcessor.from_pretrained, model, identity)
        self.model: Any = hub.load_weights(
            AutoModelForZeroShotImageClassification.from_pretrained, model, identity, self.device
        )
        if not hasattr(self.model, "logit_scale"):
            raise StageError(f"the model {model} is not like CLIP", "name a CLIP or SigLIP model")
        self.attributes = attribute_list()
        self.sentences = self.encode(self.attributes.sentences)

    def encode(self, sentences: list[str]) -> torch.Tensor:
        """Features of unit length (sentences, dimensions)."""
        import torch

        siglip = self.model.config.model_type.startswith("siglip")
        inputs = self.processor(
            text=sentences,
            return_tensors="pt",
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
        ).to(self.device)
        if siglip:  # SigLIP was trained on padded sentences without a mask.
            inputs.pop("attention_mask", None)
        with torch.inference_mode():
            features = self.model.get_text_features(**inputs).pooler_output
        return torch.nn.functional.normalize(features, dim=-1)

    def knows(self, label: str) -> bool:
        """Anything may be red or wooden."""
        return True

    def classify(
        self, crops: Sequence[Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]:
        """For each crop, whatever its label, at most three attributes with a score of at least `floor`, best first.

        A score is the probability of the attribute among its group and the neutral sentence.
        """
        return [
            best_attributes(row, self.attributes.words, floor)
            for start in range(0, len(crops), BATCH)
            for row in self.scores(crops[start : start + BATCH]).tolist()
        ]

    def scores(self, crops: Sequence[Image]) -> torch.Tensor:
        """Probabilities (crops, words)."""
        import torch

        padded = [pad_elongated(crop) for crop in crops]
        inputs = self.processor(images=padded, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            features = self.model.get_image_features(**inputs).pooler_output
            cosines = torch.nn.functional.normalize(features, dim=-1) @ self.sentences.T
            # SigLIP's bias is the same for all sentences and makes no difference to a softmax.
            return softmax_in_groups(
                cosines * self.model.logit_scale.exp(), [*map(len, self.attributes.groups.values())]
            )


def softmax_in_groups(logits: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Probabilities (n, words) from logits (n, 1 + words), whose first column takes part in every group."""
    import torch

    neutral, *groups = logits.split([1, *sizes], dim=1)
    return torch.cat([torch.cat([neutral, group], dim=1).softmax(1)[:, 1:] for group in groups], dim=1)


def best_attributes(scores: list[float], words: list[str], floor: float) -> list[tuple[str, float]]:
    """The best of the words that reach the floor; of equal ones those that stand first in the list."""
    enough = [(word, score) for word, score in zip(words, scores, strict=True) if score >= floor]
    return sorted(enough, key=lambda pair: -pair[1])[:MOST]
