"""BLIP's captions, with what its beams have in common computed once.

`generate` of transformers repeats a picture for each of its beams. Then it computes the keys and values of the
picture as often, and copies all of them at every step, where beams change places. Here the beams of a picture
stand beside each other as queries to one set of keys and values. The search itself is that of transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from stages.caption.beams import Beams, beams_of
from stages.models.devices import pick_device
from stages.models.loading import load_pretrained, load_weights

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.caption.schema import CaptionConfig


# A CPU is busy with one picture; more at once only leave its caches.
AT_ONCE_ON_CPU = 1

AT_ONCE = 32


class Blip:
    """Beam search with `BlipForConditionalGeneration`."""

    source = "blip"

    def __init__(self, config: CaptionConfig, identity: str, dtype: str) -> None:
        """Load the captioner `config.model`, exactly the weights of `identity`.

        Raises:
            StageError: it is incomplete, or no BLIP model that writes captions.
        """
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self.config = config
        self.device = pick_device(config.device)
        self.processor: Any = load_pretrained(BlipProcessor.from_pretrained, config.model, identity)
        self.model: Any = load_weights(
            BlipForConditionalGeneration.from_pretrained, config.model, identity, self.device, dtype=dtype
        )
        self.shared = share(self.model)
        self.start = self.first_tokens()

    def first_tokens(self) -> torch.Tensor:
        """What a caption starts with (1, tokens): the token of the beginning, and the prompt if there is one."""
        settings = self.model.config.text_config
        words: list[int] = []
        if self.config.prompt:
            words = self.processor.tokenizer(self.config.prompt, add_special_tokens=False)["input_ids"]
        return torch.tensor([[settings.bos_token_id, *words]], device=self.device)

    def prepare(self, picture: Image) -> torch.Tensor:
        """Pixels as the model wants them (3, height, width)."""
        return self.processor.image_processor(images=picture, return_tensors="pt")["pixel_values"][0]

    def describe(self, pixels: Iterable[torch.Tensor]) -> list[Beams]:
        """The captions of each picture, best first."""
        at_once = AT_ONCE_ON_CPU if self.device == "cpu" else AT_ONCE
        with torch.inference_mode():
            encoded = [self.encode(group) for group in grouped(pixels, at_once)]
            return self.search(torch.cat(encoded)) if encoded else []

    def encode(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of pictures (pictures, patches + 1, dimensions)."""
        stacked = torch.stack(list(pixels)).to(self.device, self.model.dtype)
        return self.model.vision_model(pixel_values=stacked).last_hidden_state

    def search(self, encoded: torch.Tensor) -> list[Beams]:
        for attention in self.shared:
            attention.look_at(encoded)
        settings, each = self.model.config.text_config, min(self.config.captions, self.config.beams)
        found = self.model.text_decoder.generate(
            input_ids=self.start.expand(len(encoded), -1),
            # Repeated for every beam, so a part will do: the shared attention has seen the whole.
            encoder_hidden_states=encoded[:, :1],
            eos_token_id=settings.sep_token_id,
            pad_token_id=settings.pad_token_id,
            num_beams=self.config.beams,
            num_return_sequences=each,
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        for attention in self.shared:
            attention.forget()
        return beams_of(found, self.processor, self.start.shape[1], each)


def grouped(things: Iterable[torch.Tensor], size: int) -> Iterator[list[torch.Tensor]]:
    """Groups of at most `size`, each as soon as it is complete."""
    rest = iter(things)
    while group := list(islice(rest, size)):
        yield group


def share(model: Any) -> list[SharedAttention]:
    """Put faster attentions of the same weights into a BLIP model; those that all beams of a picture share."""
    for layer in model.vision_model.encoder.layers:
        layer.self_attn = PatchAttention(layer.self_attn)
    shared: list[SharedAttention] = []
    for layer in model.text_decoder.bert.encoder.layer:
        layer.crossattention.self = SharedAttention(layer.crossattention.self)
        shared.append(layer.crossattention.self)
    return shared


class PatchAttention(nn.Module):
    """`BlipAttention` that never writes down who attends to whom."""

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.qkv, self.projection = like.qkv, like.projection
        self.heads, self.scale = like.num_heads, like.scale

    def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
        """Features (pictures, patches, dimensions) to the same."""
        shape = hidden_states.shape
        mixed = self.qkv(hidden_states).view(*shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(*mixed.unbind(), scale=self.scale)
        return self.projection(attended.transpose(1, 2).reshape(shape)), None


class SharedAttention(nn.Module):
    """`BlipTextSelfAttention` from words to pictures, in which a picture's beams share its keys and values."""

    def __init__(self, like: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = like.query, like.key, like.value
        self.size: int = like.attention_head_size
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None

    def look_at(self, encoded: torch.Tensor) -> None:
        """Compute keys and values of pictures (pictures, patches, dimensions)."""
        self.keys, self.values = self.in_heads(self.key(encoded)), self.in_heads(self.value(encoded))

    def forget(self) -> None:
        self.keys = self.values = None

    def in_heads(self, features: torch.Tensor) -> torch.Tensor:
        """(pictures, n, dimensions) to (pictures, heads, n, dimensions of a head)."""
        return features.view(*features.shape[:2], -1, self.size).transpose(1, 2)

    def forward(self, hidden_states: torch.Tensor, **_: object) -> tuple[torch.Tensor, None]:
        """Words (pictures × beams, n, dimensions) to the same, the beams of a picture beside each other."""
        assert self.keys is not None
        assert self.values is not None
        queries = self.query(hidden_states).view(len(self.keys), -1, self.keys.shape[1] * self.size)
        attended = scaled_dot_product_attention(self.in_heads(queries), self.keys, self.values)
        return attended.transpose(1, 2).reshape(*hidden_states.shape[:2], -1), None
