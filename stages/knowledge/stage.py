"""What a language model knows about a post: which names it has, and what they are (PGIM, EMNLP Findings 2023).

The item is a post: its text, and by choice its picture or what other stages saw in that. Two backends: an
OpenAI-compatible endpoint, where `endpoint` is set; else a model on this machine, by hub name or folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from stages.base import (
    EXECUTION,
    SEMANTIC,
    BadItemError,
    Failure,
    Identity,
    Item,
    Label,
    Postponed,
    Result,
    Stage,
    StageConfig,
    StageError,
    Subject,
    Value,
    guarded,
)
from stages.caption.schema import CaptionValue
from stages.knowledge.prompt import Prompt, load_prompt
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Messages, Reply, Sampling, data_url
from stages.models.identity import identify
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

Read = Literal["caption", "objects", "ocr"]

# Batches of several rounds keep requests in flight; what is lost when the process is killed is one batch.
ROUNDS = 8

NO_MODEL = "--set knowledge.endpoint=http://localhost:11434/v1 --set knowledge.model=NAME, or only a model"


class KnowledgeConfig(StageConfig):
    """`revision` is that of a model on the hub; of a model behind an endpoint it is any word that tells one set of
    weights from another of the same name. `picture` shows the picture itself to the model; `reads` are the stages
    whose words it gets. `shots` examples are chosen among the training posts; they are part of the item's key.
    `price_prompt` and `price_completion` are per million tokens, in whatever currency.
    """

    endpoint: Annotated[str, EXECUTION] = ""
    model: Annotated[str, SEMANTIC] = ""
    revision: Annotated[str, SEMANTIC] = "main"
    prompt: Annotated[str, SEMANTIC] = "tweet"
    picture: Annotated[bool, SEMANTIC] = False
    longest_side: Annotated[int, SEMANTIC, Field(ge=32, le=4096)] = 768
    reads: Annotated[tuple[Read, ...], SEMANTIC] = ()
    object_score: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.35
    word_confidence: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.6
    max_new_tokens: Annotated[int, SEMANTIC, Field(ge=1, le=8192)] = 200
    seed: Annotated[int, SEMANTIC, Field(ge=0)] = 0
    extra: Annotated[dict[str, Any], SEMANTIC] = Field(default_factory=dict)
    shots: Annotated[int, EXECUTION, Field(ge=0, le=32)] = 0
    similarity: Annotated[str, EXECUTION] = "minilm"
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

    def as_endpoint(self) -> Endpoint:
        names = Endpoint.model_fields.keys() & type(self).model_fields.keys()
        return Endpoint(url=self.endpoint, **{name: getattr(self, name) for name in names})


class KnowledgeValue(Value):
    """`source` is "http" or "local", `model` what the model calls itself, `finish` why it stopped: "length" where
    the text was cut. Tokens are those of the request that was answered, `estimated` where nobody counted them;
    `requests` counts those in vain too. `cost` is known where prices are set.
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


class Asker(Protocol):
    """A model that answers chats, however it is reached."""

    def ask(self, questions: Sequence[Messages]) -> list[Reply | Failure | Postponed]: ...


class KnowledgeStage(Stage[KnowledgeConfig]):
    name = "knowledge"
    version = 1
    config_type = KnowledgeConfig
    value_type = KnowledgeValue
    subject = Subject.POST

    def __init__(self, config: KnowledgeConfig) -> None:
        super().__init__(config)
        self.agreed = config.consent
        self.asker: Asker | None = None
        self.prompt: Prompt | None = None

    @property
    def over_http(self) -> bool:
        return bool(self.config.endpoint)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.config.reads))

    @property
    def sees_picture(self) -> bool:
        return self.config.picture or bool(self.config.reads)

    @property
    def shots(self) -> int:
        return self.config.shots

    @property
    def similarity(self) -> str:
        return self.config.similarity

    @property
    def batch_size(self) -> int:
        return ROUNDS * self.config.concurrency if self.over_http else 4

    @property
    def sends_to(self) -> str:
        endpoint = self.config.as_endpoint() if self.over_http else None
        return endpoint.host if endpoint and endpoint.remote else ""

    @property
    def alone(self) -> bool:
        return self.over_http

    def parameters(self) -> dict[str, Any]:
        """Settings that do not count are left out; of the prompt its content counts, and not its name."""
        config = self.config
        found: dict[str, Any] = {
            "backend": "http" if self.over_http else "local",
            "prompt": load_prompt(config.prompt).identity,
            "max_new_tokens": config.max_new_tokens,
            "temperature": 0,
            "seed": config.seed,
            "picture": config.picture,
        }
        if config.picture:
            found["longest_side"] = config.longest_side
        if "objects" in config.reads:
            found["object_score"] = config.object_score
        if "ocr" in config.reads:
            found["word_confidence"] = config.word_confidence
        if self.over_http and config.extra:
            found["extra"] = config.extra
        return found

    def identity(self) -> Identity:
        config = self.config
        if not config.model:
            raise StageError("the stage knowledge has no model", NO_MODEL)
        if self.over_http:
            return Identity(models={"model": f"{config.model}@{config.revision}"})
        model = identify(config.model, config.revision)
        return Identity(models={"model": model}, numerics={"dtype": "float32"})

    def open(self) -> None:
        self.prompt = self.prompt or load_prompt(self.config.prompt)
        if self.asker is not None:
            return
        config = self.config
        sampling = Sampling(config.max_new_tokens, 0.0, config.seed)
        if self.over_http:
            from stages.llm.client import ChatClient

            endpoint = config.as_endpoint().model_copy(update={"consent": self.agreed})
            self.asker = ChatClient(endpoint, sampling)
        else:
            from stages.llm.local import LocalChat

            self.asker = LocalChat(config.model, self.identity().models["model"], config.device, sampling)

    def run(self, items: Sequence[Item]) -> list[Result]:
        self.open()
        assert self.asker is not None
        chats = [guarded(self.chat, item) for item in items]
        replies = iter(self.asker.ask([chat for chat in chats if not isinstance(chat, Failure)]))
        found = (chat if isinstance(chat, Failure) else next(replies) for chat in chats)
        return [self.value(reply) if isinstance(reply, Reply) else reply for reply in found]

    def chat(self, item: Item) -> Messages:
        """
        Raises:
            BadItemError: the picture cannot be read, or the post says nothing at all.
        """
        assert self.prompt is not None
        if not item.text.strip() and item.decode is None:
            raise BadItemError("the post has neither text nor picture")
        images = ()
        if self.config.picture and item.decode is not None:
            images = (data_url(item.picture(), self.config.longest_side),)
        return self.prompt.messages(item.text, self.seen(item.upstream), item.examples, images)

    def seen(self, upstream: Mapping[str, Value]) -> dict[str, str]:
        """What the stages above found, as words for the prompt."""
        found: dict[str, str] = {}
        for name, value in upstream.items():
            if isinstance(value, CaptionValue):
                found[name] = value.captions[0].text if value.captions else ""
            elif isinstance(value, ObjectsValue):
                labels = [thing.label for thing in value.objects if thing.score >= self.config.object_score]
                found[name] = ", ".join(dict.fromkeys(labels))
            elif isinstance(value, OcrValue):
                words = [word.text for word in value.words if word.confidence >= self.config.word_confidence]
                found[name] = " ".join(words)
        return found

    def value(self, reply: Reply) -> KnowledgeValue:
        usage = reply.usage
        return KnowledgeValue(
            source="http" if self.over_http else "local",
            text=reply.text,
            model=reply.model,
            finish=reply.finish,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=usage.estimated,
            requests=usage.requests,
            cost=self.cost(usage.prompt_tokens, usage.completion_tokens),
        )

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        prices = (self.config.price_prompt, self.config.price_completion)
        if prices[0] is None or prices[1] is None:
            return None
        return round((prompt_tokens * prices[0] + completion_tokens * prices[1]) / 1e6, 8)

    def __getstate__(self) -> dict[str, Any]:
        """A stage travels to its worker as its settings; what was opened stays behind."""
        return {**self.__dict__, "asker": None}
