"""Captions by any model that maps an image and a prompt to text: BLIP-2, GIT, Florence-2, SmolVLM, Qwen-VL."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from PIL import Image

from stages.base import StageError
from stages.caption.schema import Caption, CaptionConfig, join_lines
from stages.models.loading import load_pretrained, load_weights, pick_device, summarize_error

# Prompts of models that were trained with a word for each task. Other models need no prompt.
TASK_PROMPTS = {"florence2": "<CAPTION>", "paligemma": "caption en"}


class ImageTextCaptioner:
    """Beam search with a model of `AutoModelForImageTextToText`."""

    def __init__(self, config: CaptionConfig, identity: str, dtype: str, model_type: str) -> None:
        """Load the model `config.model`, exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, writes no captions, or does not accept the prompt.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.config, model = config, config.model
        self.source = model_type
        _require_captioner(model, model_type)
        self.device = pick_device(config.device)
        self.processor: Any = load_pretrained(AutoProcessor, model, identity)
        self.model: Any = load_weights(AutoModelForImageTextToText, model, identity, self.device, dtype=dtype)
        self.tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        # Padding precedes short prompts, so that all captions of a batch start at the same position.
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        has_template = bool(getattr(self.processor, "chat_template", None))
        self.uses_chat = config.chat == "yes" or (config.chat == "auto" and has_template)
        self.prompt = config.question if self.uses_chat else config.prompt or TASK_PROMPTS.get(self.source, "")
        self._try_prompt()

    def _try_prompt(self) -> None:
        try:
            self._build_inputs([Image.new("RGB", (64, 64))])
        except Exception as error:  # templates and processors may raise any exception
            message = f"the model {self.config.model} cannot be asked {self.prompt!r}: {summarize_error(error)}"
            hint = "set caption.prompt to what its model card says, caption.chat to yes or no"
            raise StageError(message, hint) from error

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return the image, reduced to the maximum side of the settings."""
        return shrink_image(image, self.config.max_side)

    def describe(self, prepared: Iterable[Image.Image]) -> list[tuple[Caption, ...]]:
        """Return the captions of each image, best first."""
        images = list(prepared)
        if not images:
            return []
        inputs = self._build_inputs(images).to(self.device, self.model.dtype)
        count = min(self.config.captions, self.config.beams)
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                num_beams=self.config.beams,
                num_return_sequences=count,
                max_new_tokens=self.config.max_new_tokens,
                do_sample=False,
                # The model's own settings for sampling or for longer texts do not apply to this search.
                temperature=1.0,
                top_k=50,
                top_p=1.0,
                length_penalty=1.0,
                pad_token_id=self.tokenizer.pad_token_id,
                output_scores=True,
                return_dict_in_generate=True,
            )
        prompt_length = _count_repeated_tokens(inputs.get("input_ids"), output.sequences, count)
        return decode_beams(output, self.processor, prompt_length, count)

    def _build_inputs(self, images: Sequence[Image.Image]) -> Any:
        """Return the arguments of `generate` for these images with the prompt."""
        if self.uses_chat:
            return self._build_chat_inputs(images)
        options: dict[str, Any] = {"images": list(images), "return_tensors": "pt"}
        if self.prompt:
            options |= {"text": [self.prompt] * len(images), "padding": True}
        if self.prompt and self.source == "git":
            # The caption continues the prompt, so no end token may follow it.
            text = self.tokenizer.cls_token + self.prompt
            options |= {"text": [text] * len(images), "add_special_tokens": False}
        inputs = self.processor(**options)
        if self.source == "git":
            inputs.pop("token_type_ids", None)  # BERT's tokenizer numbers sentences, which GIT does not accept
        return inputs

    def _build_chat_inputs(self, images: Sequence[Image.Image]) -> Any:
        text = {"type": "text", "text": self.prompt}
        contents = [[{"type": "image", "image": image}, text] for image in images]
        chats = [[{"role": "user", "content": content}] for content in contents]
        return self.processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )


def decode_beams(output: Any, processor: Any, prompt_length: int, beams: int) -> list[tuple[Caption, ...]]:
    """Return the captions of each image, best first.

    Args:
        output: The output of `generate`, with `sequences` (images × beams, tokens) and, from a beam search,
            `sequences_scores` (images × beams,).
        processor: Decodes tokens to text.
        prompt_length: Number of tokens at the start of each sequence that are not part of the caption.
        beams: Number of sequences per image.
    """
    texts = processor.batch_decode(output.sequences[:, prompt_length:], skip_special_tokens=True)
    log_scores = getattr(output, "sequences_scores", None)
    scores = [None] * len(texts) if log_scores is None else [round(math.exp(s), 6) for s in log_scores.tolist()]
    captions = [Caption(text=join_lines(text), score=score) for text, score in zip(texts, scores, strict=True)]
    return [tuple(captions[start : start + beams]) for start in range(0, len(captions), beams)]


def shrink_image(image: Image.Image, max_side: int) -> Image.Image:
    """Return the image with no side longer than `max_side` pixels, and none shorter than one."""
    if max(image.size) <= max_side:
        return image
    scale = max_side / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _require_captioner(model: str, model_type: str) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        hint = "name one of AutoModelForImageTextToText, such as BLIP, BLIP-2, GIT, Florence-2, SmolVLM or Qwen-VL"
        raise StageError(f"the model {model} is a {model_type} model, which does not write captions", hint)


def _count_repeated_tokens(prompts: torch.Tensor | None, sequences: torch.Tensor, count: int) -> int:
    """Return how many tokens at the start of the sequences (n × count, tokens) repeat the prompts (n, tokens)."""
    if prompts is None or prompts.shape[1] > sequences.shape[1]:
        return 0
    length = prompts.shape[1]
    return length if torch.equal(sequences[:, :length], prompts.repeat_interleave(count, dim=0)) else 0
