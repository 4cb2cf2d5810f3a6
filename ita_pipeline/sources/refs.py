"""References to images and posts: what the planner and the engines handle, each under the key of its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ita_pipeline.sources.base import Place
from ita_pipeline.sources.local import path_of
from stages.base import Example


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that could not even be read, and why."""

    place: Place
    reason: str

    @property
    def label(self) -> str:
        return self.place.label

    @property
    def path(self) -> Path | None:
        """Its file, where it is one on this machine."""
        return path_of(self.place)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture: the sha256 of its bytes, one of the places where it lies, and the key that place had before."""

    key: str
    place: Place
    before: str = ""

    @property
    def label(self) -> str:
        return self.place.label

    @property
    def path(self) -> Path | None:
        """Its file, where it is one on this machine."""
        return path_of(self.place)

    @property
    def changed(self) -> tuple[str, ...]:
        """A picture is one thing, so there is nothing to name."""
        return ()

    @property
    def image(self) -> ImageRef:
        return self


@dataclass(frozen=True, slots=True)
class Stamped:
    """A file as it stood when it was hashed; an empty stamp fits no file. `before` is the key it had earlier."""

    path: bytes
    stamp: str
    key: str
    before: str = ""


class ItemRef(Protocol):
    """A thing that stages look at. `label` is what a person calls it.

    `before` is the key that the thing in its place had earlier, and `changed` names what of it is another now.
    """

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def before(self) -> str: ...

    @property
    def changed(self) -> tuple[str, ...]: ...

    @property
    def image(self) -> ImageRef | None:
        """The picture that stages above may have looked at."""
        ...


@dataclass(frozen=True, slots=True)
class PostRef:
    """A post: `key` is a digest of its `parts`, the text, the picture's key and the examples chosen for it."""

    key: str
    id: str
    text: str
    image: ImageRef | None = None
    examples: tuple[Example, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    changed: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"post {self.id}"
