"""What an engine hands to those who run the stages, and what it wants of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Protocol

from pydantic import Field

from ita_pipeline.engines.careful import careful
from ita_pipeline.images import ImageRef, open_picture
from ita_pipeline.items import ItemRef, PostRef
from stages.base import Frozen, Item, Result, Stage, Value

MEGABYTE = 1024 * 1024


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


class Hands(Protocol):
    """Whoever runs stages on pictures."""

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

    def close(self) -> None: ...


class InProcess:
    """Runs stages in this very process: for models that are loaded already, and for tests."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    def open(self, stage: Stage[Any]) -> None:
        stage.open()

    def work(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        return careful(stage, [as_item(job, self.limits) for job in jobs])

    def close(self) -> None:
        return None


def as_item(job: Job, limits: Limits) -> Item:
    image = job.item.image
    decode = None if image is None else partial(decoded, image, limits)
    if isinstance(job.item, PostRef):
        post = job.item
        return Item(post.key, post.label, decode, job.upstream, post.text, post.examples)
    return Item(job.item.key, image.path.name if image else job.item.label, decode, job.upstream)


def decoded(image: ImageRef, limits: Limits) -> Any:
    return open_picture(image, limits.megabytes * MEGABYTE, limits.megapixels * 1_000_000)
