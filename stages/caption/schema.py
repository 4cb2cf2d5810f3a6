"""Settings and values of the stage `caption`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.base import EXECUTION, MODEL, PORTABLE, SEMANTIC, Frozen, StageConfig, Text, Value
from stages.languages import Language, load_words

TEMPLATE = "template"

# The question in English for chat models without a `prompt` in the settings.
CHAT_PROMPT = "Describe this picture in one short sentence."


class CaptionConfig(StageConfig):
    """Settings of the stage.

    Attributes:
        model: `template`, or a captioning model: its hub name, its folder, or its name on the server.
        revision: The branch, tag or commit on the hub.
        prompt: The beginning of the caption, or the question; empty for the model's usual one.
        language: The language of the template and of the usual question; empty for English.
        chat: Whether the prompt goes through the processor's chat template; `auto` if it has one.
        beams: Beams of the search.
        captions: Maximum number of captions; a search with fewer beams gives fewer.
        max_new_tokens: Maximum length of a caption in tokens.
        max_side: Maximum side in pixels of the images for models that take images of any size.
        dtype: Type of the weights; `auto` is half precision on a CUDA device and float32 on all others.
        template_floor: Minimum score of an object in the template's sentence.
        batch: Number of images at once.
        device: Device of torch, or `auto`.
        endpoint: Address of an OpenAI-compatible server.
        consent: Whether the user agreed to sending images to another machine.
        concurrency: Maximum number of requests in flight.
        timeout: Timeout of a request in seconds.
    """

    model: Annotated[str, SEMANTIC, MODEL] = TEMPLATE
    revision: Annotated[str, SEMANTIC] = "main"
    prompt: Annotated[str, SEMANTIC, Field(max_length=4000)] = ""
    language: Annotated[Language, SEMANTIC] = ""
    chat: Annotated[Literal["auto", "yes", "no"], SEMANTIC] = "auto"
    beams: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    captions: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    max_new_tokens: Annotated[int, SEMANTIC, Field(ge=1, le=256)] = 30
    max_side: Annotated[int, SEMANTIC, Field(ge=16, le=8192)] = 1024
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], SEMANTIC] = "auto"
    template_floor: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.4
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 8
    device: Annotated[str, EXECUTION] = "auto"
    endpoint: Annotated[str, EXECUTION, PORTABLE] = ""
    consent: Annotated[bool, EXECUTION] = False
    concurrency: Annotated[int, EXECUTION, Field(ge=1, le=256)] = 8
    timeout: Annotated[float, EXECUTION, Field(gt=0)] = 120.0

    @property
    def question(self) -> str:
        """The question for a chat model."""
        words = load_words(self.language)
        return self.prompt or (words.caption_prompt if words else CHAT_PROMPT)


class Caption(Frozen):
    """A caption. `score`, in 0..1, is the beam's geometric mean probability per token; a template has none."""

    text: Text
    score: float | None


class CaptionValue(Value):
    """Captions of an image, best first.

    `source` is `template`, the model's type (such as `blip`), the model's name on a server, or the name of the file
    that the captions come from.
    """

    source: str
    captions: tuple[Caption, ...]


def join_lines(text: str) -> str:
    """Return `text` on one line with single spaces, since a model may answer in paragraphs."""
    return " ".join(text.split())
