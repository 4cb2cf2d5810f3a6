"""References to images and posts, which the planner and the engines handle by the key of their content."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ita_pipeline.sources.base import ImageSource, check_size
from ita_pipeline.sources.local import LocalFile
from stages.base import Example


class _Sourced:
    """Something with a source."""

    __slots__ = ()

    source: ImageSource

    @property
    def label(self) -> str:
        """The name shown to people."""
        return self.source.label

    @property
    def path(self) -> Path | None:
        """The path of a local file."""
        return self.source.path if isinstance(self.source, LocalFile) else None


@dataclass(frozen=True, slots=True)
class Unreadable(_Sourced):
    """An image, folder or container that cannot be read, and the reason."""

    source: ImageSource
    reason: str


@dataclass(frozen=True, slots=True)
class SourceListing:
    """The images of a source in a stable order, and what else is there.

    `others` are files without an image suffix, `unreadable` are folders and containers that cannot be read, and
    `notes` are remarks to show.
    """

    images: tuple[ImageSource, ...] = ()
    others: tuple[PurePath, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRef(_Sourced):
    """An image: the sha256 of its bytes, one of its sources, and the key that this source had before.

    `copy` is a file with the content of an image that was fetched from elsewhere. `image` and `changed` are there
    because stages also process posts.
    """

    key: str
    source: ImageSource
    before: str = ""
    copy: Path | None = field(default=None, compare=False, repr=False)

    def read(self, max_bytes: int) -> bytes:
        """Read the image, from its source if the copy is missing, as it is on another machine.

        Raises:
            BadItemError: the image cannot be read, or has more than `max_bytes` bytes.
        """
        if self.copy is not None:
            with suppress(OSError):
                check_size(self.copy.stat().st_size, max_bytes)
                return self.copy.read_bytes()
        return self.source.read(max_bytes)

    @property
    def is_remote(self) -> bool:
        """Whether reading it may wait for another machine."""
        return self.source.is_remote if self.copy is None else not self.copy.is_file()

    @property
    def changed(self) -> tuple[str, ...]:
        """Nothing, since an image has only one part."""
        return ()

    @property
    def image(self) -> ImageRef:
        """The image itself."""
        return self


@dataclass(frozen=True, slots=True)
class PostRef:
    """A post. `key` is a digest of its `parts`: the text, the images' keys and the examples chosen for it.

    `image` is its first image, and `more` are the others. If its content has changed, `before` is the key that it
    had earlier, and `changed` names the changed parts.
    """

    key: str
    id: str
    text: str
    image: ImageRef | None = None
    examples: tuple[Example, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    before: str = ""
    changed: tuple[str, ...] = ()
    more: tuple[ImageRef, ...] = ()

    @property
    def label(self) -> str:
        """The name shown to people."""
        return f"post {self.id}"


# An item that stages process.
ItemRef = ImageRef | PostRef


@dataclass(frozen=True, slots=True)
class Stamped:
    """A file at the time it was hashed. An empty stamp matches no file; `before` is the key it had earlier."""

    path: bytes
    stamp: str
    key: str
    before: str = ""
