"""Models like CLIP and SigLIP, which compare images with sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image

from stages.base import StageError
from stages.models.loading import load_pretrained, load_weights, pick_device
from stages.objects.hub_detectors import pad_elongated


class ContrastiveModel:
    """A model whose features of an image and of a sentence are similar if they fit."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load `model`, exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, or has no scale for cosines and so is not a CLIP or SigLIP model.
        """
        from transformers import AutoModelForZeroShotImageClassification, AutoProcessor

        self.device = pick_device(device)
        self.processor: Any = load_pretrained(AutoProcessor, model, identity)
        self.model: Any = load_weights(AutoModelForZeroShotImageClassification, model, identity, self.device)
        if not hasattr(self.model, "logit_scale"):
            raise StageError(f"the model {model} is not a CLIP or SigLIP model", "name a CLIP or SigLIP model")

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return features of unit length (sentences, dimensions)."""
        is_siglip = self.model.config.model_type.startswith("siglip")
        inputs = self.processor(
            text=list(sentences),
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

    def compare(self, crops: Sequence[Image], sentences: torch.Tensor) -> torch.Tensor:
        """Return logits (crops, sentences) of images with the features of sentences.

        SigLIP's bias is the same for all pairs and does not change a softmax, so it is left out.
        """
        inputs = self.processor(images=[pad_elongated(crop) for crop in crops], return_tensors="pt")
        with torch.inference_mode():
            features = self.model.get_image_features(**inputs.to(self.device)).pooler_output
            return torch.nn.functional.normalize(features, dim=-1) @ sentences.T * self.model.logit_scale.exp()
