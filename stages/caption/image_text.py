"""Captions of any model that turns a picture and a prompt into text: BLIP-2, GIT, Florence-2, SmolVLM, Qwen-VL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stages.base import StageError
from stages.caption.beams import Beams, beams_of
from stages.models.devices import pick_device
from stages.models.loading import load_model_type, load_pretrained, load_weights, summarize_error

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from stages.caption.schema import CaptionConfig


CHAT_PROMPT = "Describe this picture in one short sentence."

# What models that were trained with a word for each task want to hear. The others do without a prompt.
PROMPTS = {"florence2": "<CAPTION>", "paligemma": "caption en"}


class ImageText:
    """Beam search with a model of `AutoModelForImageTextToText`."""

    def __init__(self, config: CaptionConfig, identity: str, dtype: str) -> None:
        """Load the model `config.model`, exactly the weights of `identity`.

        Raises:
            StageError: it is incomplete, of a kind that writes no captions, or cannot do with the prompt.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.config = config
        self.source = captioning(config.model, load_model_type(config.model, identity))
        self.device = pick_device(config.device)
        self.processor: Any = load_pretrained(AutoProcessor.from_pretrained, config.model, identity)
        self.model: Any = load_weights(
            AutoModelForImageTextToText.from_pretrained, config.model, identity, self.device, dtype=dtype
        )
        self.tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        # Shorter beginnings are filled up in front, so that all captions of a batch start at one place.
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.chats = config.chat == "yes" or (config.chat == "auto" and bool(template_of(self.processor)))
        self.prompt = config.prompt or (CHAT_PROMPT if self.chats else PROMPTS.get(self.source, ""))
        self.try_out()

    def try_out(self) -> None:
        """
        Raises:
            StageError: the processor cannot do with the prompt.
        """
        from PIL import Image

        try:
            self.inputs([Image.new("RGB", (64, 64))])
        except Exception as error:  # templates and processors raise what they like
            raise StageError(
                f"the model {self.config.model} cannot be asked {self.prompt!r}: {summarize_error(error)}",
                "set caption.prompt to what its model card says, caption.chat to yes or no",
            ) from error

    def prepare(self, picture: Image) -> Image:
        """The picture, made smaller where it is larger than it may be."""
        return shrunk(picture, self.config.max_side)

    def inputs(self, pictures: Sequence[Image]) -> Any:
        """What `generate` takes for these pictures with the prompt."""
        if self.chats:
            asked: list[Any] = [
                [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": text}]}]
                for picture, text in zip(pictures, [self.prompt] * len(pictures), strict=True)
            ]
            return self.processor.apply_chat_template(
                asked,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        options: dict[str, Any] = {"images": list(pictures), "return_tensors": "pt"}
        if self.prompt:
            options |= {"text": [self.prompt] * len(pictures), "padding": True}
        if self.prompt and self.source == "git":
            # The caption goes on from the prompt, so no token may end it.
            text = self.tokenizer.cls_token + self.prompt
            options |= {"text": [text] * len(pictures), "add_special_tokens": False}
        made = self.processor(**options)
        if self.source == "git":
            made.pop("token_type_ids", None)  # BERT's tokenizer numbers sentences, GIT has no such numbers
        return made

    def describe(self, pictures: Iterable[Image]) -> list[Beams]:
        """The captions of each picture, best first."""
        import torch

        asked = list(pictures)
        if not asked:
            return []
        inputs = self.inputs(asked).to(self.device, self.model.dtype)
        each = min(self.config.captions, self.config.beams)
        with torch.inference_mode():
            found = self.model.generate(
                **inputs,
                num_beams=self.config.beams,
                num_return_sequences=each,
                max_new_tokens=self.config.max_new_tokens,
                do_sample=False,
                # What a model's own settings have for sampling, or to favour length, is not for this search.
                temperature=1.0,
                top_k=50,
                top_p=1.0,
                length_penalty=1.0,
                pad_token_id=self.tokenizer.pad_token_id,
                output_scores=True,
                return_dict_in_generate=True,
            )
        return beams_of(found, self.processor, repeated(inputs.get("input_ids"), found.sequences, each), each)


def captioning(model: str, kind: str) -> str:
    """The kind of a model, if it is one that writes text about pictures.

    Raises:
        StageError: it is another.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    if kind not in KNOWN:
        raise StageError(
            f"the model {model} is of the kind {kind}, which writes no captions",
            "name one of AutoModelForImageTextToText, such as BLIP, BLIP-2, GIT, Florence-2, SmolVLM or Qwen-VL",
        )
    return kind


def template_of(processor: Any) -> Any:
    return getattr(processor, "chat_template", None)


def repeated(asked: torch.Tensor | None, sequences: torch.Tensor, each: int) -> int:
    """How many tokens at the start of the answers (n × each, tokens) only repeat what was asked (n, tokens)."""
    import torch

    if asked is None or asked.shape[1] > sequences.shape[1]:
        return 0
    length = asked.shape[1]
    return length if torch.equal(sequences[:, :length], asked.repeat_interleave(each, dim=0)) else 0


def shrunk(picture: Image, side: int) -> Image:
    """The picture with no side longer than `side` pixels, and none shorter than one."""
    if max(picture.size) <= side:
        return picture
    from PIL.Image import Resampling

    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Resampling.LANCZOS)
