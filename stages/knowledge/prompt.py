"""Prompts: YAML files with a version, filled in from a post. What they say is part of the stage key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from stages.base import Example, Frozen, StageError
from stages.llm.messages import Message

MOST_BYTES = 1 << 16

ONE = "docs/knowledge.md shows one; knowledge.prompt takes its name or file"

PLACE = re.compile(r"\{(text|answer|caption|objects|ocr|examples)\}")


class Prompt(Frozen):
    """`user` is the question; `caption`, `objects` and `ocr` are lines of it, left out where nothing was seen.

    `example` is how another post and its answer are shown. Names in braces are filled in; nothing that is filled in
    is looked at again, so that a tweet with braces stays one.
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
        said = json.dumps(self.model_dump(exclude={"about", "version"}), sort_keys=True)
        return f"v{self.version} sha256:{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def messages(
        self, text: str, seen: Mapping[str, str], examples: Sequence[Example] = (), images: tuple[str, ...] = ()
    ) -> list[Message]:
        """The chat for one post. `seen` is what stages said of its picture, by their names."""
        shown = [filled(self.example, {"text": one.text, "answer": one.answer}) for one in examples]
        lines = {
            name: filled(getattr(self, name), {name: said}) for name, said in seen.items() if said and name in LINES
        }
        known = {"text": text, "examples": "\n\n".join(shown) + ("\n" if shown else ""), **lines}
        user = Message("user", filled(self.user, known), images)
        return [Message("system", self.system), user] if self.system else [user]


LINES = ("caption", "objects", "ocr")


def filled(template: str, known: Mapping[str, str]) -> str:
    """A template line by line; a line of a single place that nothing is known for is left out."""
    lines = (line for line in template.split("\n") if not (alone := PLACE.fullmatch(line)) or known.get(alone[1]))
    return PLACE.sub(lambda place: known.get(place[1], ""), "\n".join(lines)).strip()


def load_prompt(name: str) -> Prompt:
    """A prompt that comes with the project, by name, or a YAML file.

    Raises:
        StageError: there is none, or it is not as it should be.
    """
    file = find(name)
    try:
        content = file.read_bytes()
        if len(content) > MOST_BYTES:
            raise StageError(f"{file} is too large for a prompt", ONE)
        return Prompt.model_validate(yaml.safe_load(content))
    except OSError as error:
        raise StageError(f"the prompt {file} cannot be read: {error.strerror}", ONE) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise StageError(f"{file} is no prompt: {place}: {first['msg']}", ONE) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise StageError(f"{file} is not valid YAML: {what}", ONE) from error


def find(name: str) -> Path:
    known = known_prompts()
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    raise StageError(f"there is no prompt {name}", f"known are {', '.join(known)}; or give a YAML file")


def known_prompts() -> dict[str, Path]:
    """Names and files of the prompts that come with the stage."""
    return {file.stem: file for file in sorted((Path(__file__).parent / "prompts").glob("*.yaml"))}
