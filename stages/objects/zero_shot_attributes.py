"""Attributes of objects by zero-shot classification of their crops with a model like CLIP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL.Image import Image

from stages.batching import batched
from stages.objects.attributes import load_attribute_list
from stages.objects.contrastive import ContrastiveModel
from stages.objects.schema import ScoredLabel

BATCH_SIZE = 16

MAX_ATTRIBUTES = 3


class ZeroShotAttributes(ContrastiveModel):
    """A CLIP- or SigLIP-like model that compares a crop with one sentence per attribute."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load the model, and encode the sentences."""
        super().__init__(model, identity, device)
        self.attributes = load_attribute_list()
        self.sentences = self.encode(self.attributes.sentences)

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
        logits = self.compare(crops, self.sentences)
        return _softmax_in_groups(logits, [*map(len, self.attributes.groups.values())])


def _softmax_in_groups(logits: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Return probabilities (n, words) from logits (n, 1 + words), whose first column takes part in every group."""
    neutral, *groups = logits.split([1, *sizes], dim=1)
    return torch.cat([torch.cat([neutral, group], dim=1).softmax(1)[:, 1:] for group in groups], dim=1)


def _select_best(scores: list[float], words: list[str], floor: float) -> list[ScoredLabel]:
    """Return the best words that reach the floor; of equal scores, those that come first in the list."""
    candidates = [(word, score) for word, score in zip(words, scores, strict=True) if score >= floor]
    return sorted(candidates, key=lambda pair: -pair[1])[:MAX_ATTRIBUTES]
