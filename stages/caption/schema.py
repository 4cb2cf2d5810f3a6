"""Settings and values of the stage `caption`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.base import (
    EXECUTION,
    SEMANTIC,
    Frozen,
    StageConfig,
    Text,
    Value,
)

TEMPLATE = "template"


class CaptionConfig(StageConfig):
    """`captions` is at most; a search with fewer beams gives as many as it has.

    An empty `prompt` is the model's usual one. `dtype: auto` is half precision on a CUDA device and float32
    elsewhere. `chat` says whether the prompt goes through the chat template of the processor: `auto`, if it has
    one. `max_side`, in pixels, is for models that take pictures of any size.

    `endpoint` is the address of an OpenAI-compatible server, `consent` to send pictures to another machine,
    `concurrency` how many requests are under way at once, and `timeout` the seconds that one of them may take.
    """

    model: Annotated[str, SEMANTIC] = TEMPLATE
    revision: Annotated[str, SEMANTIC] = "main"
    prompt: Annotated[str, SEMANTIC, Field(max_length=4000)] = ""
    chat: Annotated[Literal["auto", "yes", "no"], SEMANTIC] = "auto"
    beams: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    captions: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    max_new_tokens: Annotated[int, SEMANTIC, Field(ge=1, le=256)] = 30
    max_side: Annotated[int, SEMANTIC, Field(ge=16, le=8192)] = 1024
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], SEMANTIC] = "auto"
    template_floor: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.4
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 8
    device: Annotated[str, EXECUTION] = "auto"
    endpoint: Annotated[str, EXECUTION] = ""
    consent: Annotated[bool, EXECUTION] = False
    concurrency: Annotated[int, EXECUTION, Field(ge=1, le=256)] = 8
    timeout: Annotated[float, EXECUTION, Field(gt=0)] = 120.0


class Caption(Frozen):
    """`score`, in 0..1, is the beam's probability a token (its geometric mean); a template has none."""

    text: Text
    score: float | None


class CaptionValue(Value):
    """`source` is "template", the kind of model ("blip"), the name of a model that is served over HTTP, or that of
    the file that captions came from.
    """

    source: str
    captions: tuple[Caption, ...]
