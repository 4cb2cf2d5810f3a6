"""What an engine hands to those who run the stages, and what it wants of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from ita_pipeline.engines.careful import careful
from ita_pipeline.engines.decoding import Decoder
from ita_pipeline.images import ImageRef, open_picture
from ita_pipeline.items import ItemRef, PostRef
from stages.base import Frozen, Item, Result, Stage, Value

if TYPE_CHECKING:
    from PIL.Image import Image

MEGABYTE = 1024 * 1024
# So much of what pictures may take is for those that are decoded already.
SHARE_FOR_PICTURES = 1 / 8


class Limits(Frozen):
    """What one picture may take: the size of its file, its pixels, the time of a stage, and memory beyond the
    model's.
    """

    megabytes: Annotated[int, Field(gt=0)] = 25
    megapixels: Annotated[int, Field(gt=0)] = 40
    seconds: Annotated[float, Field(gt=0)] = 300.0
    memory_megabytes: Annotated[int, Field(gt=0)] = 4096


@dataclass(frozen=True, slots=True)
class Job:
    """A picture or a post for a stage, with the values of the stages that it reads."""

    item: ItemRef
    upstream: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """Work for a stage that was opened before; it is answered with results."""

    stage: str
    jobs: list[Job]


@dataclass(frozen=True, slots=True)
class Expect:
    """What comes next; it is not answered."""

    images: list[ImageRef]


class Hands(Protocol):
    """Whoever runs stages on pictures and posts."""

    def open(self, stage: Stage[Any]) -> None:
        """Make a stage ready.

        Raises:
            StageError: its models or tools are missing.
        """
        ...

    def work(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        """One result a job, in order; what is wrong with an item is its failure.

        Raises:
            StageError: the stage cannot work at all.
        """
        ...

    def expect(self, images: Sequence[ImageRef]) -> None:
        """These come next: a hint to decode them while others are worked on."""
        ...

    def close(self) -> None: ...


class InProcess:
    """Runs stages in this very process: for models that are loaded already, and for tests."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        most = round(self.limits.memory_megabytes * MEGABYTE * SHARE_FOR_PICTURES)
        self.decoder = Decoder(self.decode, most)

    def decode(self, image: ImageRef) -> Image:
        return open_picture(image, self.limits.megabytes * MEGABYTE, self.limits.megapixels * 1_000_000)

    def open(self, stage: Stage[Any]) -> None:
        stage.open()

    def work(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        return careful(stage, [self.as_item(job) for job in jobs])

    def as_item(self, job: Job) -> Item:
        item, image = job.item, job.item.image
        decode = None if image is None else partial(self.decoder.picture, image)
        if isinstance(item, PostRef):
            return Item(item.key, item.label, decode, job.upstream, item.text, item.examples)
        return Item(item.key, image.place.name if image else item.label, decode, job.upstream)

    def expect(self, images: Sequence[ImageRef]) -> None:
        self.decoder.expect(images)

    def close(self) -> None:
        return None
