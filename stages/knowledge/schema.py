"""Settings and values of the stage `knowledge`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from stages.base import EXECUTION, MODEL, PORTABLE, SEMANTIC, Label, StageConfig, Value
from stages.languages import Language
from stages.llm.endpoint import Endpoint


class KnowledgeConfig(StageConfig):
    """Settings of the stage. Those without a description here are settings of `stages.llm.endpoint.Endpoint`.

    Attributes:
        endpoint: Address of an OpenAI-compatible server; empty for a model on this machine.
        model: The model's name on the server, or its hub name or folder.
        revision: The branch, tag or commit on the hub. For a served model, any word that distinguishes weights of
            the same name.
        prompt: The name of a bundled prompt, or a YAML file.
        language: The language of a bundled prompt, if it exists in that language; empty for English.
        picture: Whether the model gets the images themselves.
        pictures: Maximum number of these images; the first ones of a post.
        longest_side: Maximum side of an image in pixels.
        reads: Stages whose values the model gets as words.
        object_score: Minimum score of an object among these words.
        word_confidence: Minimum confidence of an OCR word among these words.
        max_new_tokens: Maximum length of the answer in tokens.
        seed: Seed of the server's sampling.
        extra: Further fields of each request.
        shots: Number of examples from the training posts; the examples are part of the item's key.
        similarity: The text encoder that chooses them.
        price_prompt: Price per million prompt tokens, in any currency.
        price_completion: Price per million tokens of answers.
        device: Device of torch for a model on this machine, or `auto`.
    """

    endpoint: Annotated[str, EXECUTION, PORTABLE] = ""
    model: Annotated[str, SEMANTIC, MODEL] = ""
    revision: Annotated[str, SEMANTIC] = "main"
    prompt: Annotated[str, SEMANTIC] = "tweet"
    language: Annotated[Language, SEMANTIC] = ""
    picture: Annotated[bool, SEMANTIC] = False
    pictures: Annotated[int, SEMANTIC, Field(ge=1, le=32)] = 9
    longest_side: Annotated[int, SEMANTIC, Field(ge=32, le=4096)] = 768
    reads: Annotated[tuple[Literal["caption", "objects", "ocr"], ...], SEMANTIC] = ()
    object_score: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.35
    word_confidence: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.6
    max_new_tokens: Annotated[int, SEMANTIC, Field(ge=1, le=8192)] = 200
    seed: Annotated[int, SEMANTIC, Field(ge=0)] = 0
    extra: Annotated[dict[str, Any], SEMANTIC] = Field(default_factory=dict)
    shots: Annotated[int, EXECUTION, PORTABLE, Field(ge=0, le=32)] = 0
    similarity: Annotated[str, EXECUTION, PORTABLE] = "minilm"
    key_variable: Annotated[str, EXECUTION] = "ITA_API_KEY"
    consent: Annotated[bool, EXECUTION] = False
    concurrency: Annotated[int, EXECUTION, Field(ge=1, le=256)] = 16
    connect: Annotated[float, EXECUTION, Field(gt=0)] = 10.0
    read: Annotated[float, EXECUTION, Field(gt=0)] = 60.0
    total: Annotated[float, EXECUTION, Field(gt=0)] = 120.0
    tries: Annotated[int, EXECUTION, Field(ge=1, le=20)] = 4
    back_off: Annotated[float, EXECUTION, Field(ge=0)] = 1.0
    longest_wait: Annotated[float, EXECUTION, Field(ge=0)] = 60.0
    max_bytes: Annotated[int, EXECUTION, Field(gt=0)] = 1 << 20
    max_requests: Annotated[int | None, EXECUTION, Field(ge=0)] = None
    max_tokens: Annotated[int | None, EXECUTION, Field(ge=0)] = None
    price_prompt: Annotated[float | None, EXECUTION, Field(ge=0)] = None
    price_completion: Annotated[float | None, EXECUTION, Field(ge=0)] = None
    device: Annotated[str, EXECUTION] = "auto"

    @property
    def is_served(self) -> bool:
        """Whether a server runs the model."""
        return bool(self.endpoint)

    def build_endpoint(self, consent: bool = False, suggested: bool = False) -> Endpoint:
        """Return the endpoint of the settings of the same names."""
        settings = self.model_dump(include=set(Endpoint.model_fields))
        settings |= {"url": self.endpoint, "consent": consent, "suggested": suggested}
        return Endpoint(**settings)


class KnowledgeValue(Value):
    """A model's answer about a post.

    Attributes:
        source: `http` or `local`.
        text: The answer.
        model: The name that the model or the server gives.
        finish: Why the model stopped; `length` if the answer was cut.
        prompt_tokens: Tokens of the successful request's prompt.
        completion_tokens: Tokens of the answer.
        estimated: Whether these numbers are estimates because the server did not count.
        requests: Number of requests, failed ones included.
        cost: The price of the tokens, if the settings have prices.
    """

    source: str
    text: Label
    model: str = ""
    finish: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    requests: int = 1
    cost: float | None = None
