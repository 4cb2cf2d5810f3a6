"""The stage `caption`: a sentence about the whole image, ITA's global alignment (GA).

`model: template` builds one from the detected objects, and every record says so. Any other name is a captioning
model, by hub name or folder; with an `endpoint`, a model that a server runs. BLIP gives five captions from five
beams, as in ITA (Wang et al., NAACL 2022, section 3).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from PIL.Image import Image

from stages.base import Failure, Identity, Item, Result, Stage, StageError, guarded
from stages.batching import map_successes
from stages.caption.schema import TEMPLATE, Caption, CaptionConfig, CaptionValue, join_lines
from stages.caption.template import build_sentence
from stages.languages import load_words
from stages.llm.endpoint import Endpoint
from stages.llm.messages import ChatModel, ChatOutcome, Message, Reply, Sampling, encode_image
from stages.models.identity import digest_json, identify
from stages.models.loading import load_model_type, pick_dtype
from stages.objects.schema import ObjectsValue


class Captioner(Protocol):
    """A captioning model on this machine. `source` is its model type, `device` a device of torch."""

    source: str
    device: str

    def prepare(self, image: Image) -> Any:
        """Return the input of `describe` for one image; called ahead in another thread."""
        ...

    def describe(self, prepared: Iterable[Any], /) -> list[tuple[Caption, ...]]:
        """Return the captions of each prepared image, best first."""
        ...


class CaptionStage(Stage[CaptionConfig]):
    """Describe each image in sentences."""

    name = "caption"
    version = 1
    config_type = CaptionConfig
    value_type = CaptionValue

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__(config)
        self.agreed = config.consent

    @property
    def is_served(self) -> bool:
        """Whether a server runs the model."""
        return bool(self.config.endpoint)

    @property
    def is_template(self) -> bool:
        """Whether captions are built from detected objects."""
        return self.config.model == TEMPLATE and not self.is_served

    @property
    def alone(self) -> bool:
        """A server does the computing."""
        return self.is_served

    @property
    def device(self) -> str:
        """The model's device, or `server`."""
        if self.is_served:
            return "server"
        return "cpu" if self.is_template else self.captioner.device

    @property
    def sends_to(self) -> str:
        """The server's host if it is another machine."""
        return self._build_endpoint().remote_host if self.is_served else ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The template needs the detected objects."""
        return ("objects",) if self.is_template else ()

    @property
    def batch_size(self) -> int:
        """Several rounds of requests for a server, many images for the template."""
        if self.is_served:
            return 4 * self.config.concurrency
        return 256 if self.is_template else self.config.batch

    def parameters(self) -> dict[str, Any]:
        """Return the settings that matter; those added later only if they differ from the default.

        This keeps captions fresh that were computed before a setting existed.
        """
        if self.is_template:
            words = load_words(self.config.language)
            unused = {"caption_prompt", "tag_separator", "types", "no_names", "unspaced"}
            language = {"words": digest_json(words.model_dump(mode="json", exclude=unused))} if words else {}
            return {"kind": TEMPLATE, "template_floor": self.config.template_floor, **language}
        if self.is_served:
            return {
                "kind": "served",
                "prompt": self.config.question,
                "max_new_tokens": self.config.max_new_tokens,
                "max_side": self.config.max_side,
                "temperature": 0.0,
                "seed": 0,
            }
        always = self.config.model_dump(include={"beams", "captions", "max_new_tokens"})
        later = self.config.model_dump(include={"prompt", "chat", "max_side"}, exclude_defaults=True)
        config = self.config
        if load_words(config.language) and not config.prompt and config.chat != "no":
            # BLIP, which is asked nothing, writes the same captions for a dataset in any language.
            model = identify(config.model, config.revision)
            later |= {"question": config.question} if load_model_type(config.model, model) != "blip" else {}
        # The kind of all local models dates from when BLIP was the only one; the weights distinguish models.
        return {"kind": "blip", **always, **later}

    def identity(self) -> Identity:
        """Return the model's exact weights and data type; of a served model its name and revision."""
        config = self.config
        if self.is_template:
            return Identity()
        if self.is_served:
            return Identity(models={"captioner": f"{config.model}@{config.revision}"})
        return Identity(
            models={"captioner": identify(config.model, config.revision)},
            numerics={"dtype": pick_dtype(config.dtype, config.device)},
        )

    @functools.cached_property
    def captioner(self) -> Captioner:
        """The loaded model, if the settings name one for this machine.

        Raises:
            StageError: The model is incomplete, or writes no captions.
        """
        identity = self.identity()
        model, dtype = identity.models["captioner"], identity.numerics["dtype"]
        model_type = load_model_type(self.config.model, model)
        if model_type == "blip":
            from stages.caption.blip import BlipCaptioner

            return BlipCaptioner(self.config, model, dtype)
        from stages.caption.image_text import ImageTextCaptioner

        return ImageTextCaptioner(self.config, model, dtype, model_type)

    @functools.cached_property
    def client(self) -> ChatModel:
        """The client of the server, if the settings have an endpoint.

        Raises:
            StageError: The address is invalid, or the user did not agree to sending images there.
        """
        from stages.llm.client import ChatClient

        sampling = Sampling(self.config.max_new_tokens, temperature=0.0, seed=0)
        return ChatClient(self._build_endpoint(), sampling)

    def open(self) -> None:
        """Load the model, or prepare the client of the server."""
        if self.is_served:
            _ = self.client
        elif not self.is_template:
            _ = self.captioner

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Return one `CaptionValue` or failure per item; postponed if a server does not answer."""
        if self.is_template:
            return [guarded(self._fill_template, item) for item in items]
        return self._ask_server(items) if self.is_served else _run_captioner(self.captioner, items)

    def _fill_template(self, item: Item) -> CaptionValue:
        value = item.upstream["objects"]
        assert isinstance(value, ObjectsValue)
        objects = [detected for detected in value.objects if detected.score >= self.config.template_floor]
        captions = (Caption(text=build_sentence(objects, self.config.language), score=None),) if objects else ()
        return CaptionValue(source=TEMPLATE, captions=captions)

    def _build_endpoint(self) -> Endpoint:
        """Return the endpoint of the settings.

        Raises:
            StageError: The settings do not name one of the server's models.
        """
        config = self.config
        if config.model in ("", TEMPLATE):
            hint = "--set caption.model=NAME, as the server lists it: curl ENDPOINT/models"
            raise StageError(f"the endpoint {config.endpoint} needs the name of a model", hint)
        return Endpoint(
            url=config.endpoint,
            model=config.model,
            consent=self.agreed,
            suggested=self.suggested,
            concurrency=config.concurrency,
            read=config.timeout,
            total=config.timeout,
        )

    def _ask_server(self, items: Sequence[Item]) -> list[Result]:
        """Return one result per item; postponed if the server does not answer or rejects the key."""
        with ThreadPoolExecutor() as pool:
            chats = list(pool.map(lambda item: guarded(self._build_chat, item), items))
        return [self._value_of(outcome) for outcome in map_successes(self.client.ask, chats)]

    def _build_chat(self, item: Item) -> list[Message]:
        image = encode_image(item.picture(), self.config.max_side)
        return [Message("user", self.config.question, images=(image,))]

    def _value_of(self, outcome: ChatOutcome) -> Result:
        """Return the stage's result. A caption has no score, since servers do not return beams."""
        if not isinstance(outcome, Reply):
            return outcome
        caption = Caption(text=join_lines(outcome.text), score=None)
        return CaptionValue(source=self.config.model, captions=(caption,))


def _run_captioner(captioner: Captioner, items: Sequence[Item]) -> list[Result]:
    """Return one result per item. A thread decodes and prepares images while the model describes earlier ones."""

    def prepare(item: Item) -> Any:
        return captioner.prepare(item.picture())

    with ThreadPoolExecutor(1) as pool:
        prepared = [pool.submit(guarded, prepare, item) for item in items]
        results = (future.result() for future in prepared)
        captions = iter(captioner.describe(result for result in results if not isinstance(result, Failure)))
    return [
        result if isinstance(result, Failure) else CaptionValue(source=captioner.source, captions=next(captions))
        for result in (future.result() for future in prepared)
    ]
