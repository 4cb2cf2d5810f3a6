"""The stage `knowledge`: which names a post contains and what they are, according to a language model.

This follows PGIM (Findings of EMNLP 2023).
An item is a post: its text and, depending on the settings, its image or values that other stages computed from it.
The model runs on an OpenAI-compatible server if `endpoint` is set, else on this machine.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from stages.base import BadItemError, Identity, Item, Result, Stage, StageError, Subject, Value, guarded
from stages.batching import map_successes
from stages.caption.schema import CaptionValue
from stages.knowledge.prompt import Prompt, load_prompt
from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.llm.messages import ChatModel, ChatOutcome, Messages, Reply, Sampling, encode_image
from stages.models.identity import identify
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

# A batch has several rounds of requests, which keeps the server busy. If the process is killed, one batch is lost.
ROUNDS_PER_BATCH = 8

MODEL_HINT = "--set knowledge.endpoint=http://localhost:11434/v1 --set knowledge.model=NAME, or only a model"


class KnowledgeStage(Stage[KnowledgeConfig]):
    """Ask a language model about each post."""

    name = "knowledge"
    version = 1
    config_type = KnowledgeConfig
    value_type = KnowledgeValue
    subject = Subject.POST

    def __init__(self, config: KnowledgeConfig) -> None:
        super().__init__(config)
        self.agreed = config.consent

    @property
    def reads(self) -> tuple[str, ...]:
        """The stages in the settings, each once."""
        return tuple(dict.fromkeys(self.config.reads))

    @property
    def sees_picture(self) -> bool:
        """Whether the model gets the image, or words about it."""
        return self.config.picture or bool(self.config.reads)

    @property
    def shots(self) -> int:
        """As in the settings."""
        return self.config.shots

    @property
    def similarity(self) -> str:
        """As in the settings."""
        return self.config.similarity

    @property
    def batch_size(self) -> int:
        """Several rounds of requests for a server."""
        return ROUNDS_PER_BATCH * self.config.concurrency if self.config.is_served else 4

    @property
    def sends_to(self) -> str:
        """The server's host if it is another machine."""
        return self.config.build_endpoint().remote_host if self.config.is_served else ""

    @property
    def alone(self) -> bool:
        """A server does the computing, and its budget is that of the whole run."""
        return self.config.is_served

    def parameters(self) -> dict[str, Any]:
        """Return the settings that are in use; of the prompt its content instead of its name."""
        config = self.config
        parameters: dict[str, Any] = {
            "backend": self._source,
            "prompt": self.prompt.identity,
            "max_new_tokens": config.max_new_tokens,
            "temperature": 0,
            "seed": config.seed,
            "picture": config.picture,
        }
        if config.picture:
            parameters["longest_side"] = config.longest_side
            # The default is left out, so that answers older than this setting stay fresh.
            parameters |= config.model_dump(include={"pictures"}, exclude_defaults=True)
        if "objects" in config.reads:
            parameters["object_score"] = config.object_score
        if "ocr" in config.reads:
            parameters["word_confidence"] = config.word_confidence
        if config.is_served and config.extra:
            parameters["extra"] = config.extra
        return parameters

    def identity(self) -> Identity:
        """Return the model's exact weights; of a served model its name and revision."""
        config = self.config
        if not config.model:
            raise StageError("the stage knowledge has no model", MODEL_HINT)
        if config.is_served:
            return Identity(models={"model": f"{config.model}@{config.revision}"})
        return Identity(models={"model": identify(config.model, config.revision)}, numerics={"dtype": "float32"})

    @functools.cached_property
    def prompt(self) -> Prompt:
        """The prompt of the settings.

        Raises:
            StageError: There is no such prompt, or its content is invalid.
        """
        return load_prompt(self.config.prompt, self.config.language)

    @functools.cached_property
    def model(self) -> ChatModel:
        """The client of the server, or the loaded model.

        Raises:
            StageError: The address or the weights are invalid, or the user did not agree to sending posts there.
        """
        config = self.config
        sampling = Sampling(config.max_new_tokens, 0.0, config.seed)
        if config.is_served:
            from stages.llm.client import ChatClient

            return ChatClient(config.build_endpoint(self.agreed, self.suggested), sampling)
        from stages.llm.local import LocalChat

        return LocalChat(config.model, self.identity().models["model"], config.device, sampling)

    def open(self) -> None:
        """Load the prompt, and the model or the client of the server."""
        _ = self.prompt, self.model

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Return one `KnowledgeValue` or failure per item; postponed if the server or the budget stops it."""
        self.open()
        outcomes = map_successes(self.model.ask, [guarded(self._build_chat, item) for item in items])
        return [self._value_of(outcome) for outcome in outcomes]

    def _build_chat(self, item: Item) -> Messages:
        """Return the chat about a post.

        Raises:
            BadItemError: An image cannot be read, or the post has neither text nor image.
        """
        if not item.text.strip() and item.decode is None:
            raise BadItemError("the post has neither text nor picture")
        decoders = [decode for decode in (item.decode, *item.more) if decode is not None and self.config.picture]
        side = self.config.longest_side
        images = tuple(encode_image(decode(), side) for decode in decoders[: self.config.pictures])
        return self.prompt.build_messages(item.text, self._describe(item.upstream), item.examples, images)

    def _describe(self, upstream: Mapping[str, Value]) -> dict[str, str]:
        """Return the values of other stages as words for the prompt."""
        contexts: dict[str, str] = {}
        for name, value in upstream.items():
            if isinstance(value, CaptionValue):
                contexts[name] = value.captions[0].text if value.captions else ""
            elif isinstance(value, ObjectsValue):
                labels = [item.label for item in value.objects if item.score >= self.config.object_score]
                contexts[name] = ", ".join(dict.fromkeys(labels))
            elif isinstance(value, OcrValue):
                words = [word.text for word in value.words if word.confidence >= self.config.word_confidence]
                contexts[name] = " ".join(words)
        return contexts

    def _value_of(self, outcome: ChatOutcome) -> Result:
        if not isinstance(outcome, Reply):
            return outcome
        usage = outcome.usage
        return KnowledgeValue(
            source=self._source,
            text=outcome.text,
            model=outcome.model,
            finish=outcome.finish,
            cost=self._cost_of(usage.prompt_tokens, usage.completion_tokens),
            **usage.model_dump(),
        )

    def _cost_of(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        prompt_price, completion_price = self.config.price_prompt, self.config.price_completion
        if prompt_price is None or completion_price is None:
            return None
        return round((prompt_tokens * prompt_price + completion_tokens * completion_price) / 1e6, 8)

    @property
    def _source(self) -> str:
        return "http" if self.config.is_served else "local"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the loaded model, which is not sent to a worker."""
        return {name: value for name, value in self.__dict__.items() if name != "model"}
