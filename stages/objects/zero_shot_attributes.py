"""Attributes of objects by zero-shot classification of their crops with a model like CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image

from stages.base import StageError
from stages.batching import batched
from stages.models.loading import load_pretrained, load_weights, pick_device
from stages.objects.attributes import load_attribute_list
from stages.objects.hub_detectors import pad_elongated
from stages.objects.schema import ScoredLabel

BATCH_SIZE = 16

MAX_ATTRIBUTES = 3


class ZeroShotAttributes:
    """A CLIP- or SigLIP-like model that compares a crop with one sentence per attribute."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load `model`, exactly the weights of `identity`, and encode the sentences.

        Raises:
            StageError: The model is incomplete, or has no scale for cosines and so is not a CLIP or SigLIP model.
        """
        from transformers import AutoModelForZeroShotImageClassification, AutoProcessor

        self.device = pick_device(device)
        self.processor: Any = load_pretrained(AutoProcessor, model, identity)
        self.model: Any = load_weights(AutoModelForZeroShotImageClassification, model, identity, self.device)
        if not hasattr(self.model, "logit_scale"):
            raise StageError(f"the model {model} is not a CLIP or SigLIP model", "name a CLIP or SigLIP model")
        self.attributes = load_attribute_list()
        self.sentences = self._encode(self.attributes.sentences)

    def _encode(self, sentences: list[str]) -> torch.Tensor:
        """Return features of unit length (sentences, dimensions)."""
        is_siglip = self.model.config.model_type.startswith("siglip")
        inputs = self.processor(
            text=sentences,
            return_tensors="pt",
            padding="max_length" if is_siglip else True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
        ).to(self.device)
        if is_siglip:  # SigLIP was trained on padded sentences without a mask.
            inputs.pop("attention_mask", None)
        with torch.inference_mode():
            features = self.model.get_text_features(**inputs).pooler_output
        return torch.nn.functional.normalize(features, dim=-1)

    def accepts(self, label: str) -> bool:
        """Return True: an object of any label may be red or wooden."""
        return True

    def classify(self, crops: Sequence[Image], labels: Sequence[str], floor: float) -> list[list[ScoredLabel]]:
        """Return for each crop, whatever its label, up to three attributes that score at least `floor`, best first.

        A score is the probability of the attribute among its group and the neutral sentence.
        """
        return [
            _select_best(scores, self.attributes.words, floor)
            for batch in batched(crops, BATCH_SIZE)
            for scores in self.compute_scores(batch).tolist()
        ]

    def compute_scores(self, crops: Sequence[Image]) -> torch.Tensor:
        """Return the probabilities (crops, words)."""
        inputs = self.processor(images=[pad_elongated(crop) for crop in crops], return_tensors="pt")
        with torch.inference_mode():
            features = self.model.get_image_features(**inputs.to(self.device)).pooler_output
            cosines = torch.nn.functional.normalize(features, dim=-1) @ self.sentences.T
            # SigLIP's bias is the same for all sentences and does not change a softmax.
            logits = cosines * self.model.logit_scale.exp()
            return _softmax_in_groups(logits, [*map(len, self.attributes.groups.values())])


def _softmax_in_groups(logits: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Return probabilities (n, words) from logits (n, 1 + words), whose first column takes part in every group."""
    neutral, *groups = logits.split([1, *sizes], dim=1)
    return torch.cat([torch.cat([neutral, group], dim=1).softmax(1)[:, 1:] for group in groups], dim=1)


def _select_best(scores: list[float], words: list[str], floor: float) -> list[ScoredLabel]:
    """Return the best words that reach the floor; of equal scores, those that come first in the list."""
    candidates = [(word, score) for word, score in zip(words, scores, strict=True) if score >= floor]
    return sorted(candidates, key=lambda pair: -pair[1])[:MAX_ATTRIBUTES]
