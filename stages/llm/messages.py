"""A chat with a language model, as the OpenAI-compatible servers understand it: what is said, and what comes back.

vLLM, Ollama, llama.cpp and hosted models use this form. Nothing here touches the network: see `stages.llm.client`.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from stages.base import FailureKind, Frozen, replace_surrogates

if TYPE_CHECKING:
    from PIL.Image import Image


Role = Literal["system", "user", "assistant"]

# What a server says of its own errors is shown so far.
MOST_SAID = 200

# A rough upper bound of the tokens of an image and of a text's bytes, for budgets; no tokenizer is asked.
TOKENS_AN_IMAGE, BYTES_A_TOKEN = 1200, 3

JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` are data URLs (see `data_url`) and come before the text."""

    role: Role
    text: str
    images: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        if not self.images:
            return {"role": self.role, "content": self.text}
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in self.images]
        return {"role": self.role, "content": [*parts, {"type": "text", "text": self.text}]}


Messages = Sequence[Message]


def data_url(picture: Image, longest_side: int = 768) -> str:
    """A picture as JPEG in a data URL, made smaller where its longest side in pixels is longer than that."""
    from PIL import Image as Pillow

    small = picture.convert("RGB")
    small.thumbnail((longest_side, longest_side), Pillow.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is chosen. At temperature 0 a server takes the likeliest token; few are exact about it."""

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}


class Usage(Frozen):
    """Tokens read and written, and the requests it took. `estimated` where the server did not count them."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)]
    requests: Annotated[int, Field(ge=0)] = 1
    estimated: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answered: never blank. `model` is what the server says it is, `finish` why it stopped."""

    text: str
    model: str
    finish: str
    usage: Usage


class UnusableReplyError(Exception):
    """An answer that gives no text. `again` says whether asking again may help at once."""

    def __init__(self, reason: str, kind: FailureKind, again: bool = False) -> None:
        super().__init__(reason)
        self.kind, self.again = kind, again


class Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    message: Said
    finish_reason: str | None = None


class Counted(BaseModel):
    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)] = 0


class Completion(BaseModel):
    """The parts of an answer that are read; servers add others."""

    choices: Annotated[list[Choice], Field(min_length=1)]
    model: str = ""
    usage: Counted | None = None


def read_reply(content: bytes, prompt_tokens: int) -> Reply:
    """The answer in a body of status 200. `prompt_tokens` is an estimate for servers that do not count.

    Raises:
        UnusableReplyError: the body is no JSON, has another form, or holds no text.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableReplyError("the endpoint answered with something that is no JSON", TRANSIENT, True) from error
    if isinstance(data, dict) and data.get("error") and "choices" not in data:
        raise UnusableReplyError(f"the endpoint answered: {error_in(data)}", TRANSIENT, True)
    try:
        found = Completion.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"the endpoint answered in another form: {place}: {first['msg']}"
        raise UnusableReplyError(reason, PERMANENT) from error
    choice = found.choices[0]
    finish = tidy(choice.finish_reason or "")
    text = replace_surrogates(choice.message.content or "").strip()
    if not any(character.isalnum() for character in text):
        refused = bool(choice.message.refusal) or finish == "content_filter"
        why = "the model refused to answer" if refused else f"the model answered with no text (finish: {finish})"
        raise UnusableReplyError(why, PERMANENT if refused else TRANSIENT)
    return Reply(text, tidy(found.model), finish, usage_of(found.usage, prompt_tokens, text))


TRANSIENT, PERMANENT = FailureKind.TRANSIENT, FailureKind.PERMANENT


def usage_of(counted: Counted | None, prompt_tokens: int, text: str) -> Usage:
    if counted is None:
        tokens = -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)
        return Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens, estimated=True)
    return Usage(prompt_tokens=counted.prompt_tokens, completion_tokens=counted.completion_tokens)


def estimated_tokens(messages: Messages) -> int:
    """Tokens that a prompt may take, rather too many than too few."""
    text = sum(len(message.text.encode("utf-8", "replace")) for message in messages)
    images = sum(len(message.images) for message in messages)
    return -(-text // BYTES_A_TOKEN) + TOKENS_AN_IMAGE * images + 8 * len(messages)


def error_in(data: Any) -> str:
    """What a server says went wrong: `{"error": {"message": …}}`, `{"error": …}` or `{"detail": …}`."""
    found = data.get("error", data.get("detail", "")) if isinstance(data, dict) else ""
    if isinstance(found, dict):
        found = found.get("message", "")
    return tidy(found if isinstance(found, str) else "")


def tidy(text: str) -> str:
    """A server's words in one short line that can be shown."""
    shown = "".join(c if c.isprintable() else " " for c in replace_surrogates(text))
    return re.sub(r"\s+", " ", shown).strip()[:MOST_SAID]
