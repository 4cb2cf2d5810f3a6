"""What the planner and the engines handle: pictures and posts, each by the key of its content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ita_pipeline.images import ImageRef
from stages.base import Example


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
