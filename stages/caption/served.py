"""Captions by a model that a server runs: vLLM, Ollama, llama.cpp, or a hosted model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stages.base import Item, Result, StageError, guarded
from stages.batching import map_successes
from stages.caption.beams import join_lines
from stages.caption.image_text import CHAT_PROMPT
from stages.caption.schema import TEMPLATE, Caption, CaptionConfig, CaptionValue
from stages.llm.client import ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import ChatOutcome, Message, Reply, Sampling, encode_image

TEMPERATURE, SEED = 0.0, 0


def build_endpoint(config: CaptionConfig, consent: bool = False) -> Endpoint:
    """Return the endpoint of the settings.

    Raises:
        StageError: The settings do not name one of the server's models.
    """
    if config.model in ("", TEMPLATE):
        hint = "--set caption.model=NAME, as the server lists it: curl ENDPOINT/models"
        raise StageError(f"the endpoint {config.endpoint} needs the name of a model", hint)
    return Endpoint(
        url=config.endpoint,
        model=config.model,
        consent=consent,
        concurrency=config.concurrency,
        read=config.timeout,
        total=config.timeout,
    )


def semantic_parameters(config: CaptionConfig) -> dict[str, Any]:
    """Return what determines an answer besides the model. The server's address does not."""
    return {
        "kind": "served",
        "prompt": config.prompt or CHAT_PROMPT,
        "max_new_tokens": config.max_new_tokens,
        "max_side": config.max_side,
        "temperature": TEMPERATURE,
        "seed": SEED,
    }


class ServedCaptioner:
    """One caption per image, without a score, since servers do not return beams."""

    def __init__(self, config: CaptionConfig, consent: bool) -> None:
        """Prepare the client of the server.

        Raises:
            StageError: The address is invalid, or the user did not agree to sending images there.
        """
        self.config = config
        sampling = Sampling(max_tokens=config.max_new_tokens, temperature=TEMPERATURE, seed=SEED)
        self.client = ChatClient(build_endpoint(config, consent), sampling)
        self.prompt = config.prompt or CHAT_PROMPT

    def run(self, items: Sequence[Item]) -> list[Result]:
        """Return one result per item; postponed if the server does not answer or rejects the key."""
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(lambda item: guarded(self._encode, item), items))
        return map_successes(self._ask, images)

    def _encode(self, item: Item) -> str:
        return encode_image(item.picture(), self.config.max_side)

    def _ask(self, images: Sequence[str]) -> list[Result]:
        outcomes = self.client.ask([[Message("user", self.prompt, images=(image,))] for image in images])
        return [self._value_of(outcome) for outcome in outcomes]

    def _value_of(self, outcome: ChatOutcome) -> Result:
        if not isinstance(outcome, Reply):
            return outcome
        caption = Caption(text=join_lines(outcome.text), score=None)
        return CaptionValue(source=self.config.model, captions=(caption,))
