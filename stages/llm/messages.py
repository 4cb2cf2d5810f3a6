"""Chats with a language model in the format of OpenAI-compatible servers: requests and replies.

vLLM, Ollama, llama.cpp and hosted models use this format. Nothing here accesses the network; `client` does.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from stages.base import Failure, FailureKind, Frozen, Postponed, describe_invalid, replace_surrogates

# Maximum length of a server's own error message in ours, in characters.
MAX_ERROR_LENGTH = 200

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
    text = _estimate_text_tokens(*(message.text for message in messages))
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


class UnusableReplyError(Exception):
    """Raised for a response without a usable text. `is_retryable` is true if an immediate retry may help."""

    def __init__(self, reason: str, kind: FailureKind, is_retryable: bool = False) -> None:
        super().__init__(reason)
        self.kind, self.is_retryable = kind, is_retryable


class CompletionMessage(BaseModel):
    """The message in a choice of a completion."""

    content: str | None = None
    refusal: str | None = None


class CompletionChoice(BaseModel):
    """One of the answers in a completion."""

    message: CompletionMessage
    finish_reason: str | None = None


class TokenCounts(BaseModel):
    """The server's token counts in a completion."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)] = 0


class Completion(BaseModel):
    """The fields of a response that are read; servers add others."""

    choices: Annotated[list[CompletionChoice], Field(min_length=1)]
    model: str = ""
    usage: TokenCounts | None = None


def parse_reply(content: bytes, prompt_tokens: int) -> Reply:
    """Parse the body of a response with status 200.

    Args:
        content: The body.
        prompt_tokens: An estimate for servers that do not count tokens.

    Raises:
        UnusableReplyError: The body is not JSON, has another format, or contains no text.
    """
    completion = _parse_completion(content)
    choice = completion.choices[0]
    finish = tidy_text(choice.finish_reason or "")
    text = replace_surrogates(choice.message.content or "").strip()
    if has_text(text):
        usage = _usage_of(completion.usage, prompt_tokens, text)
        return Reply(text, tidy_text(completion.model), finish, usage)
    if choice.message.refusal or finish == "content_filter":
        raise UnusableReplyError("the model refused to answer", FailureKind.PERMANENT)
    raise UnusableReplyError(f"the model answered with no text (finish: {finish})", FailureKind.TRANSIENT)


def has_text(text: str) -> bool:
    """Return whether an answer contains at least one letter or digit."""
    return any(character.isalnum() for character in text)


def find_error(data: Any) -> str:
    """Return the error message in a response: `{"error": {"message": …}}`, `{"error": …}` or `{"detail": …}`."""
    error = data.get("error", data.get("detail", "")) if isinstance(data, dict) else ""
    if isinstance(error, dict):
        error = error.get("message", "")
    return tidy_text(error if isinstance(error, str) else "")


def tidy_text(text: str) -> str:
    """Return a server's text as one short printable line."""
    printable = "".join(c if c.isprintable() else " " for c in replace_surrogates(text))
    return re.sub(r"\s+", " ", printable).strip()[:MAX_ERROR_LENGTH]


def _parse_completion(content: bytes) -> Completion:
    transient = FailureKind.TRANSIENT
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableReplyError("the endpoint answered with something that is no JSON", transient, True) from error
    if isinstance(data, dict) and data.get("error") and "choices" not in data:
        raise UnusableReplyError(f"the endpoint answered: {find_error(data)}", transient, True)
    try:
        return Completion.model_validate(data)
    except ValidationError as error:
        reason = f"the endpoint answered in another form: {describe_invalid(error)}"
        raise UnusableReplyError(reason, FailureKind.PERMANENT) from error


def _usage_of(counts: TokenCounts | None, prompt_tokens: int, text: str) -> Usage:
    if counts is None:
        tokens = _estimate_text_tokens(text)
        return Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens, estimated=True)
    return Usage(prompt_tokens=counts.prompt_tokens, completion_tokens=counts.completion_tokens)


def _estimate_text_tokens(*texts: str) -> int:
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return -(-size // BYTES_PER_TOKEN)
