"""BLIP captions, with the computations that the beams of an image have in common done once.

`generate` of transformers repeats an image for each of its beams. It then computes the image's keys and values as
many times, and copies all of them at every step in which beams change places. Here the beams of an image are
queries to a single set of keys and values. The search itself is that of transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from stages.batching import batched
from stages.caption.image_text import decode_beams
from stages.caption.schema import Caption, CaptionConfig
from stages.models.loading import load_pretrained, load_weights, pick_device

# A single image keeps a CPU busy; more at once only exceed its caches.
CPU_BATCH_SIZE = 1

GPU_BATCH_SIZE = 32


class BlipCaptioner:
    """Beam search with `BlipForConditionalGeneration`."""

    source = "blip"

    def __init__(self, config: CaptionConfig, identity: str, dtype: str) -> None:
        """Load the model `config.model`, exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, or is not a BLIP model for captions.
        """
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self.config, model = config, config.model
        self.device = pick_device(config.device)
        self.processor: Any = load_pretrained(BlipProcessor, model, identity)
        self.model: Any = load_weights(BlipForConditionalGeneration, model, identity, self.device, dtype=dtype)
        self.shared_attentions = _replace_attentions(self.model)
        # The first tokens of each caption (1, tokens).
        tokens = [self.model.config.text_config.bos_token_id]
        if config.prompt:
            tokens += self.processor.tokenizer(config.prompt, add_special_tokens=False)["input_ids"]
        self.prompt = torch.tensor([tokens], device=self.device)

    def prepare(self, image: Image) -> torch.Tensor:
        """Return the model's input (3, height, width)."""
        return self.processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0]

    def describe(self, prepared: Iterable[torch.Tensor]) -> list[tuple[Caption, ...]]:
        """Return the captions of each image, best first."""
        batch_size = CPU_BATCH_SIZE if self.device == "cpu" else GPU_BATCH_SIZE
        with torch.inference_mode():
            features = [self._encode(batch) for batch in batched(prepared, batch_size)]
            return self._search(torch.cat(features)) if features else []

    def _encode(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the features of images (images, patches + 1, dimensions)."""
        stacked = torch.stack(list(pixels)).to(self.device, self.model.dtype)
        return self.model.vision_model(pixel_values=stacked).last_hidden_state

    def _search(self, features: torch.Tensor) -> list[tuple[Caption, ...]]:
        for attention in self.shared_attentions:
            attention.set_images(features)
        settings, count = self.model.config.text_config, min(self.config.captions, self.config.beams)
        output = self.model.text_decoder.generate(
            input_ids=self.prompt.expand(len(features), -1),
            # `generate` repeats this for every beam, so one patch is enough: the shared attention has all of them.
            encoder_hidden_states=features[:, :1],
            eos_token_id=settings.sep_token_id,
            pad_token_id=settings.pad_token_id,
            num_beams=self.config.beams,
            num_return_sequences=count,
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        for attention in self.shared_attentions:
            attention.clear()
        return decode_beams(output, self.processor, self.prompt.shape[1], count)


def _replace_attentions(model: Any) -> list[SharedAttention]:
    """Put faster attentions with the same weights into a BLIP model, and return those that beams share."""
    for layer in model.vision_model.encoder.layers:
        layer.self_attn = PatchAttention(layer.self_attn)
    shared: list[SharedAttention] = []
    for layer in model.text_decoder.bert.encoder.layer:
        layer.crossattention.self = SharedAttention(layer.crossattention.self)
        shared.append(layer.crossattention.self)
    return shared


class PatchAttention(nn.Module):
    """`BlipAttention` that does not materialize the attention weights."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.qkv, self.projection = original.qkv, original.projection
        self.heads, self.scale = original.num_heads, original.scale

    def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
        """Map features (images, patches, dimensions) to features of the same shape."""
        shape = hidden_states.shape
        mixed = self.qkv(hidden_states).view(*shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(*mixed.unbind(), scale=self.scale)
        return self.projection(attended.transpose(1, 2).reshape(shape)), None


class SharedAttention(nn.Module):
    """`BlipTextSelfAttention` from words to images, in which the beams of an image share its keys and values."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = original.query, original.key, original.value
        self.head_size: int = original.attention_head_size
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None

    def set_images(self, features: torch.Tensor) -> None:
        """Compute the keys and values of images (images, patches, dimensions)."""
        self.keys = self._split_heads(self.key(features))
        self.values = self._split_heads(self.value(features))

    def clear(self) -> None:
        """Free the keys and values."""
        self.keys = self.values = None

    def _split_heads(self, features: torch.Tensor) -> torch.Tensor:
        """Reshape (images, n, dimensions) to (images, heads, n, dimensions per head)."""
        return features.view(*features.shape[:2], -1, self.head_size).transpose(1, 2)

    def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
        """Map words (images × beams, n, dimensions), beams of an image adjacent, to features of the same shape."""
        assert self.keys is not None
        assert self.values is not None
        queries = self.query(hidden_states).view(len(self.keys), -1, self.keys.shape[1] * self.head_size)
        attended = scaled_dot_product_attention(self._split_heads(queries), self.keys, self.values)
        return attended.transpose(1, 2).reshape(*hidden_states.shape[:2], -1), None
