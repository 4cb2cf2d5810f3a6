"""Attributes of detected objects by zero-shot classification of their crops."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.base import StageError
from stages.models.devices import pick_device
from stages.models.loading import load_pretrained, load_weights
from stages.objects.hub_detectors import pad_elongated

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


ATTRIBUTES = Path(__file__).parent / "attributes.yaml"

BATCH = 16

MOST = 3


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

        self.device = pick_device(device)
        self.processor: Any = load_pretrained(AutoProcessor.from_pretrained, model, identity)
        self.model: Any = load_weights(
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
