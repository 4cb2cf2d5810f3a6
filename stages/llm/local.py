"""Chat and image–text models of transformers on this machine, decoded greedily, one chat at a time.

Weights come from safetensors only, and no code of a repository is executed. A chat template is a Jinja text that
transformers renders in a sandbox.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from stages.base import Failure, FailureKind
from stages.llm.messages import ChatOutcome, Message, Messages, Reply, Sampling, Usage, has_text
from stages.models.identity import short_name
from stages.models.loading import load_pretrained, load_weights, pick_device

# Options of `generate` that override a model's own settings for sampling.
GREEDY = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}


class LocalChat:
    """A chat model of transformers, with or without image input."""

    def __init__(self, model: str, identity: str, device: str, sampling: Sampling) -> None:
        """Load `model`, a hub name or folder, with exactly the weights of `identity`.

        Raises:
            StageError: The weights are missing or damaged, or are not those of a chat model.
        """
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        self.name, self.sampling = short_name(model), sampling
        self.device = pick_device(device)
        config = load_pretrained(transformers.AutoConfig, model, identity)
        self.reads_images = config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        processor_type, model_type = transformers.AutoTokenizer, transformers.AutoModelForCausalLM
        if self.reads_images:
            processor_type, model_type = transformers.AutoProcessor, transformers.AutoModelForImageTextToText
        self.processor: Any = load_pretrained(processor_type, model, identity)
        self.model: Any = load_weights(model_type, model, identity, self.device)
        self.max_length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)

    def ask(self, chats: Sequence[Messages]) -> list[ChatOutcome]:
        """Return one outcome per chat, in order.

        A blank answer is a failure, since greedy decoding would only repeat it. A chat that is longer than the
        model's context is one too: some models crash on it, others return nonsense.
        """
        return [self._answer(messages) for messages in chats]

    def _answer(self, messages: Messages) -> Reply | Failure:
        import torch

        if not self.reads_images and any(message.images for message in messages):
            return Failure(kind=FailureKind.PERMANENT, reason=f"{self.name} reads no pictures")
        inputs = self._prepare(messages).to(self.device)
        length, max_tokens = inputs["input_ids"].shape[1], self.sampling.max_tokens
        if self.max_length is not None and length + max_tokens > self.max_length:
            tokens = f"{length} tokens of prompt and {max_tokens} of answer"
            reason = f"{tokens} are more than the {self.max_length} that {self.name} takes"
            return Failure(kind=FailureKind.PERMANENT, reason=reason)
        with torch.inference_mode():
            sequences = self.model.generate(**inputs, max_new_tokens=max_tokens, **GREEDY)
        answer = sequences[0, length:]
        text = self.processor.decode(answer, skip_special_tokens=True).strip()
        if not has_text(text):
            return Failure(kind=FailureKind.PERMANENT, reason="the model answered with no text")
        finish = "length" if len(answer) >= max_tokens else "stop"
        return Reply(text, self.name, finish, Usage(prompt_tokens=length, completion_tokens=len(answer)))

    def _prepare(self, messages: Messages) -> Any:
        """Return the tensors of a chat in the model's own template, or as plain text if it has none."""
        if getattr(self.processor, "chat_template", None):
            chat = [{"role": message.role, "content": self._content_of(message)} for message in messages]
            return self.processor.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        text = "\n\n".join(message.text for message in messages) + "\n"
        if not self.reads_images:
            return self.processor(text, return_tensors="pt")
        images = [_decode_image(url) for message in messages for url in message.images]
        return self.processor(images=images or None, text=text, return_tensors="pt")

    def _content_of(self, message: Message) -> str | list[dict[str, Any]]:
        if not self.reads_images:
            return message.text
        parts: list[dict[str, Any]] = [{"type": "image", "image": _decode_image(url)} for url in message.images]
        return [*parts, {"type": "text", "text": message.text}]


def _decode_image(url: str) -> Image.Image:
    """Return the image in a data URL of `encode_image`."""
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
