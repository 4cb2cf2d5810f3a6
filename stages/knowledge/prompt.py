"""Prompts: versioned YAML files that are filled in from a post. Their content is part of the stage key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from stages.base import Example, Frozen, StageError, describe_invalid
from stages.files import read_file
from stages.languages import find_language
from stages.llm.messages import Message

MAX_BYTES = 1 << 16

HINT = "docs/knowledge.md shows one; knowledge.prompt takes its name or file"

PLACEHOLDER = re.compile(r"\{(text|answer|caption|objects|ocr|examples)\}")

CONTEXTS = ("caption", "objects", "ocr")


class Prompt(Frozen):
    """The templates of a chat. Names in braces are placeholders; text that is filled in is not searched for them.

    Attributes:
        version: The author's number.
        about: A description for people.
        system: The system message.
        user: The question.
        caption: The line for the image's caption, left out if there is none; `objects` and `ocr` likewise.
        example: The form of another post and its answer.
    """

    version: Annotated[int, Field(ge=1)]
    about: str = ""
    system: str = ""
    user: Annotated[str, Field(min_length=1, pattern=r"\{text\}")]
    caption: str = "{caption}"
    objects: str = "{objects}"
    ocr: str = "{ocr}"
    example: str = "{text}\n{answer}"

    @property
    def identity(self) -> str:
        """The version, and a digest of everything that reaches the model."""
        content = json.dumps(self.model_dump(exclude={"about", "version"}), sort_keys=True)
        return f"v{self.version} sha256:{hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def build_messages(
        self, text: str, contexts: Mapping[str, str], examples: Sequence[Example] = (), images: tuple[str, ...] = ()
    ) -> list[Message]:
        """Return the chat for one post.

        Args:
            text: The text of the post.
            contexts: What stages computed from the post's image, in words, by stage name.
            examples: Other posts with their answers.
            images: Data URLs.
        """
        shown = [_fill(self.example, {"text": example.text, "answer": example.answer}) for example in examples]
        values = {"text": text, "examples": "\n\n".join(shown) + ("\n" if shown else "")}
        for name, words in contexts.items():
            if words and name in CONTEXTS:
                values[name] = _fill(getattr(self, name), {name: words})
        user = Message("user", _fill(self.user, values), images)
        return [Message("system", self.system), user] if self.system else [user]


def load_prompt(name: str, language: str = "") -> Prompt:
    """Load a bundled prompt by its name, in a language if it exists in that, or a YAML file.

    Raises:
        StageError: There is no such prompt, or its content is invalid.
    """
    file = _find_file(name, find_language(language))
    try:
        content = read_file(file, MAX_BYTES)
        if len(content) > MAX_BYTES:
            raise StageError(f"{file} is too large for a prompt", HINT)
        return Prompt.model_validate(yaml.safe_load(content))
    except OSError as error:
        raise StageError(f"the prompt {file} cannot be read: {error.strerror}", HINT) from error
    except ValidationError as error:
        raise StageError(f"{file} is not a valid prompt: {describe_invalid(error)}", HINT) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise StageError(f"{file} is not valid YAML: {reason}", HINT) from error


def list_bundled_prompts() -> dict[str, Path]:
    """Return the files of the bundled prompts by name."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "prompts").glob("*.yaml"))}


def _find_file(name: str, language: str | None) -> Path:
    bundled = list_bundled_prompts()
    if name in bundled:
        return bundled.get(f"{name}.{language}", bundled[name])
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise StageError(f"there is no prompt {name}", f"known are {', '.join(bundled)}; or give a YAML file")


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template; a line that is a single placeholder without a value is left out."""
    lines = [line for line in template.split("\n") if not _is_unfilled(line, values)]
    return PLACEHOLDER.sub(lambda match: values.get(match[1], ""), "\n".join(lines)).strip()


def _is_unfilled(line: str, values: Mapping[str, str]) -> bool:
    match = PLACEHOLDER.fullmatch(line)
    return match is not None and not values.get(match[1])
