"""A chat or image–text model of transformers on this machine, answering one chat after the other, greedily.

Weights come from safetensors only, and no code of a repository is executed; a chat template is a Jinja text, which
transformers renders in a sandbox.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.base import Failure, FailureKind, Postponed
from stages.llm.messages import Messages, Reply, Sampling, Usage
from stages.models.devices import pick_device
from stages.models.identity import short_name
from stages.models.loading import load_pretrained, load_weights

if TYPE_CHECKING:
    from PIL.Image import Image


class LocalChat:
    """`model` is a hub name or folder, `identity` the exact weights that `identify` found for it."""

    def __init__(self, model: str, identity: str, device: str, sampling: Sampling) -> None:
        """
        Raises:
            StageError: the weights are missing, damaged or no chat model's.
        """
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )

        self.name, self.sampling = short_name(model), sampling
        self.device = pick_device(device)
        config = load_pretrained(AutoConfig.from_pretrained, model, identity)
        self.sees = type(config) in AutoModelForImageTextToText._model_mapping
        factory = AutoModelForImageTextToText if self.sees else AutoModelForCausalLM
        reader = AutoProcessor if self.sees else AutoTokenizer
        self.processor: Any = load_pretrained(reader.from_pretrained, model, identity)
        self.model: Any = load_weights(factory.from_pretrained, model, identity, self.device)
        self.most: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)

    def ask(self, questions: Sequence[Messages]) -> list[Reply | Failure | Postponed]:
        return [self.answer(messages) for messages in questions]

    def answer(self, messages: Messages) -> Reply | Failure:
        """One reply; a text of blanks is a failure, which greedy search would only repeat. So is a chat longer than
        the model was made for: some models break there, others say what means nothing.
        """
        import torch

        if not self.sees and any(message.images for message in messages):
            return Failure(kind=FailureKind.PERMANENT, reason=f"{self.name} reads no pictures")
        inputs = self.prepared(messages).to(self.device)
        length, most = inputs["input_ids"].shape[1], self.sampling.max_tokens
        if self.most is not None and length + most > self.most:
            reason = f"{length} tokens of prompt and {most} of answer are more than the {self.most} that"
            return Failure(kind=FailureKind.PERMANENT, reason=f"{reason} {self.name} takes")
        with torch.inference_mode():
            found = self.model.generate(
                **inputs,
                max_new_tokens=most,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
            )
        new = found[0, length:]
        text = self.processor.decode(new, skip_special_tokens=True).strip()
        if not any(character.isalnum() for character in text):
            return Failure(kind=FailureKind.PERMANENT, reason="the model answered with no text")
        finish = "length" if len(new) >= most else "stop"
        return Reply(text, self.name, finish, Usage(prompt_tokens=length, completion_tokens=len(new)))

    def prepared(self, messages: Messages) -> Any:
        """Tensors of a chat in the model's own template, or as plain text where it has none."""
        if getattr(self.processor, "chat_template", None):
            chat = [
                {"role": message.role, "content": self.content(message.text, message.images)}
                for message in messages
            ]
            return self.processor.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        text = "\n\n".join(message.text for message in messages) + "\n"
        images = [decoded(url) for message in messages for url in message.images]
        if self.sees:
            return self.processor(images=images or None, text=text, return_tensors="pt")
        return self.processor(text, return_tensors="pt")

    def content(self, text: str, images: Sequence[str]) -> Any:
        if not self.sees:
            return text
        parts: list[dict[str, Any]] = [{"type": "image", "image": decoded(url)} for url in images]
        return [*parts, {"type": "text", "text": text}]


def decoded(url: str) -> Image:
    """The picture of a data URL that we made ourselves."""
    from PIL import Image as Pillow

    return Pillow.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
