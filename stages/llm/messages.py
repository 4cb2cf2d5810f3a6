"""Chats with a language model, in the format of OpenAI-compatible servers, and its replies.

vLLM, Ollama, llama.cpp and hosted models use this format. Nothing here accesses the network; `client` does.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from PIL import Image
from pydantic import Field

from stages.base import Failure, Frozen, Postponed

# Rough upper bounds for budgets, which no tokenizer is loaded for.
TOKENS_PER_IMAGE, BYTES_PER_TOKEN, TOKENS_PER_MESSAGE = 1200, 3, 8

JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `images` are data URLs (see `encode_image`) and come before the text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the message as in a request."""
        if not self.images:
            return {"role": self.role, "content": self.text}
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in self.images]
        return {"role": self.role, "content": [*parts, {"type": "text", "text": self.text}]}


Messages = Sequence[Message]


def encode_image(image: Image.Image, longest_side: int = 768) -> str:
    """Return a data URL of the image as JPEG, reduced so that no side is longer than `longest_side` pixels."""
    reduced = image.convert("RGB")
    reduced.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    reduced.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def estimate_tokens(messages: Messages) -> int:
    """Return a generous estimate of the tokens of a prompt."""
    images = sum(len(message.images) for message in messages)
    text = estimate_text_tokens(*(message.text for message in messages))
    return text + TOKENS_PER_IMAGE * images + TOKENS_PER_MESSAGE * len(messages)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is sampled. At temperature 0 most servers take the likeliest token, but not always exactly.

    The names are those of the fields of a request.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


class Usage(Frozen):
    """Tokens read and written, and the number of requests. `estimated` is true if the server did not count."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)]
    requests: Annotated[int, Field(ge=0)] = 1
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Tokens read and written together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, never blank. `model` is the name that the server gives, `finish` why the model stopped."""

    text: str
    model: str
    finish: str
    usage: Usage


ChatOutcome = Reply | Failure | Postponed


class ChatModel(Protocol):
    """A model that answers chats, over HTTP or on this machine."""

    def ask(self, chats: Sequence[Messages]) -> list[ChatOutcome]:
        """Return one outcome per chat, in order."""
        ...


def has_text(text: str) -> bool:
    """Return whether an answer contains at least one letter or digit."""
    return any(character.isalnum() for character in text)


def estimate_text_tokens(*texts: str) -> int:
    """Return a generous estimate of the tokens of texts."""
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return -(-size // BYTES_PER_TOKEN)
