"""The stage `similarity`: how well an image–text model finds that texts fit parts of an image.

The text of an item is a `Comparison` in JSON. The grounder compares mentions with the objects that were detected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from stages.base import (
    EXECUTION,
    MODEL,
    SEMANTIC,
    Failure,
    Frozen,
    Identity,
    Item,
    Score,
    Stage,
    StageConfig,
    StageError,
    Subject,
    Value,
    guarded,
)
from stages.batching import batched
from stages.models.identity import identify
from stages.models.loading import pick_device, read_model_type

if TYPE_CHECKING:
    from stages.objects.contrastive import ContrastiveModel

SENTENCE = "a photo of {}"

BATCH_SIZE = 16

MODEL_TYPES = ("clip", "siglip", "siglip2")


class SimilarityConfig(StageConfig):
    """Settings of the stage.

    Attributes:
        model: The hub name or folder of a CLIP or SigLIP model.
        model_revision: The branch, tag or commit on the hub.
        device: Device of torch, or `auto`.
    """

    model: Annotated[str, SEMANTIC, MODEL]
    model_revision: Annotated[str, SEMANTIC] = "main"
    device: Annotated[str, EXECUTION] = "auto"


class Comparison(Frozen):
    """Texts, and the boxes (xyxy, pixels of the upright image) that they are compared with."""

    texts: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]


class SimilarityValue(Value):
    """For each text, the probability of each box among all boxes that the text describes it."""

    shares: tuple[tuple[Score, ...], ...]


class SimilarityStage(Stage[SimilarityConfig]):
    """Compare texts with parts of an image."""

    name = "similarity"
    version = 1
    config_type = SimilarityConfig
    value_type = SimilarityValue
    subject = Subject.POST

    def __init__(self, config: SimilarityConfig) -> None:
        super().__init__(config)
        self.model: ContrastiveModel | None = None

    @property
    def device(self) -> str:
        """The device of the model."""
        return pick_device(self.config.device)

    def parameters(self) -> dict[str, object]:
        """Return the sentence; the model is part of the identity."""
        return {"sentence": SENTENCE}

    def identity(self) -> Identity:
        """Return the exact weights.

        Raises:
            StageError: The model is not on this machine, and the hub does not have it or is offline; or it is
                neither a CLIP nor a SigLIP model.
        """
        weights = identify(self.config.model, self.config.model_revision)
        if read_model_type(self.config.model, weights) not in MODEL_TYPES:
            hint = "--set grounding.similarity=google/siglip-base-patch16-224, or any CLIP or SigLIP"
            raise StageError(f"the model {self.config.model} does not compare images with texts", hint)
        return Identity(models={"model": weights}, numerics={"dtype": "float32"})

    def open(self) -> None:
        """Load exactly the weights of `identity`."""
        if self.model is None:
            from stages.objects.contrastive import ContrastiveModel

            self.model = ContrastiveModel(self.config.model, self.identity().models["model"], self.config.device)

    def run(self, items: Sequence[Item]) -> list[SimilarityValue | Failure]:
        """Return one `SimilarityValue` or failure per item."""
        self.open()
        return [guarded(self._compare, item) for item in items]

    def _compare(self, item: Item) -> SimilarityValue:
        import torch

        assert self.model is not None
        comparison = Comparison.model_validate_json(item.text)
        image = item.picture()
        crops = [image.crop(_fit(box, image.size)) for box in comparison.boxes]
        if not crops or not comparison.texts:
            return SimilarityValue(shares=tuple(() for _ in comparison.texts))
        sentences = self.model.encode([SENTENCE.format(text) for text in comparison.texts])
        logits = torch.cat([self.model.compare(batch, sentences) for batch in batched(crops, BATCH_SIZE)])
        return SimilarityValue(shares=tuple(map(tuple, logits.T.softmax(1).tolist())))


def _fit(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The whole pixels of a box inside an image, at least one in each direction."""
    x0, y0 = (min(max(round(side), 0), limit - 1) for side, limit in zip(box[:2], size, strict=True))
    x1, y1 = (min(max(round(side), 0), limit) for side, limit in zip(box[2:], size, strict=True))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
