"""Captions of a model that a server answers with over HTTP: vLLM, Ollama, llama.cpp, or a hosted one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stages.base import Failure, Item, Postponed, Result, StageError, guarded
from stages.caption.beams import one_line
from stages.caption.image_text import CHAT_PROMPT
from stages.llm.client import ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Message, Reply, Sampling, data_url

if TYPE_CHECKING:
    from stages.caption.schema import CaptionConfig


TEMPERATURE, SEED = 0.0, 0


def endpoint_of(config: CaptionConfig) -> Endpoint:
    """
    Raises:
        StageError: the settings do not say which of its models the server is to answer with.
    """
    if config.model in ("", "template"):
        hint = "--set caption.model=NAME, as the server lists it: curl ENDPOINT/models"
        raise StageError(f"the endpoint {config.endpoint} needs the name of a model", hint)
    return Endpoint(
        url=config.endpoint,
        model=config.model,
        concurrency=config.concurrency,
        read=config.timeout,
        total=config.timeout,
    )


def parameters(config: CaptionConfig) -> dict[str, Any]:
    """What decides an answer besides the model. Where the server stands does not."""
    return {
        "kind": "served",
        "prompt": config.prompt or CHAT_PROMPT,
        "max_new_tokens": config.max_new_tokens,
        "max_side": config.max_side,
        "temperature": TEMPERATURE,
        "seed": SEED,
    }


class ServedCaptioner:
    """One caption a picture, without a score: a server tells no beams."""

    def __init__(self, config: CaptionConfig, agreed: bool) -> None:
        """
        Raises:
            StageError: the endpoint is no address, or nobody agreed that pictures are sent there.
        """
        self.config = config
        sampling = Sampling(max_tokens=config.max_new_tokens, temperature=TEMPERATURE, seed=SEED)
        endpoint = endpoint_of(config).model_copy(update={"consent": agreed})
        self.client = ChatClient(endpoint, sampling)
        self.prompt = config.prompt or CHAT_PROMPT

    def run(self, items: Sequence[Item]) -> list[Result]:
        """One result an item; postponed where the server does not answer, or refuses the key."""
        with ThreadPoolExecutor() as pool:
            pictures = list(pool.map(lambda item: guarded(self.encode, item), items))
        readable = [picture for picture in pictures if not isinstance(picture, Failure)]
        found = iter(self.client.ask([[Message("user", self.prompt, images=(url,))] for url in readable]))
        return [picture if isinstance(picture, Failure) else self.value(next(found)) for picture in pictures]

    def encode(self, item: Item) -> str:
        return data_url(item.picture(), self.config.max_side)

    def value(self, outcome: Reply | Failure | Postponed) -> Result:
        from stages.caption.schema import Caption, CaptionValue

        if not isinstance(outcome, Reply):
            return outcome
        return CaptionValue(source=self.config.model, captions=(Caption(text=one_line(outcome.text), score=None),))
