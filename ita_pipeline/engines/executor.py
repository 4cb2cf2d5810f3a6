"""How stages are run: the executor protocol and its version for this process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from ita_pipeline.core.iteration import batched
from ita_pipeline.engines.bisection import careful
from ita_pipeline.engines.image_cache import DecodedImageCache
from ita_pipeline.sources.decode import open_picture
from ita_pipeline.sources.refs import ImageRef, ItemRef, PostRef
from stages.base import Frozen, Item, Postponed, Result, Stage, Value

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
    """Work for a stage that was opened before. A list of them is answered with the results of all."""

    stage: str
    jobs: list[Job]


@dataclass(frozen=True, slots=True)
class Expect:
    """What comes next; it is not answered."""

    images: list[ImageRef]


@dataclass(frozen=True, slots=True)
class Task:
    """A stage that is open, and what it has to look at."""

    stage: Stage[Any]
    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class Done:
    """One result a job, in order, and the seconds that they took together."""

    results: list[Result]
    seconds: float


class Executor(Protocol):
    """Whoever runs stages on pictures and posts."""

    def open(self, stage: Stage[Any]) -> str:
        """Make a stage ready, and say on which device it works.

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

    def work_together(self, tasks: Sequence[Task]) -> list[Done]:
        """Like `work`, for stages none of which reads another: each device goes through its own, all at once.

        Raises:
            StageError: a stage cannot work at all.
        """
        ...

    def expect(self, images: Sequence[ImageRef]) -> None:
        """These come next: a hint to decode them while others are worked on."""
        ...

    def close(self) -> None: ...


class InProcessExecutor:
    """Runs stages in this very process: for models that are loaded already, and for tests."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        most = round(self.limits.memory_megabytes * MEGABYTE * SHARE_FOR_PICTURES)
        self.decoder = DecodedImageCache(self.decode, most)

    def decode(self, image: ImageRef) -> Image:
        return open_picture(image, self.limits.megabytes * MEGABYTE, self.limits.megapixels * 1_000_000)

    def open(self, stage: Stage[Any]) -> str:
        stage.open()
        return stage.device

    def work(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        return careful(stage, [self.as_item(job) for job in jobs])

    def work_together(self, tasks: Sequence[Task]) -> list[Done]:
        lanes: dict[str, list[int]] = {}
        for number, task in enumerate(tasks):
            lanes.setdefault(task.stage.device, []).append(number)
        done: dict[int, Done] = {}

        def go_along(lane: list[int]) -> None:
            for number in lane:
                done[number] = self.in_batches(tasks[number])

        first, *others = lanes.values()
        with ThreadPoolExecutor(max(1, len(others))) as pool:
            beside = pool.map(go_along, others)
            go_along(first)
            list(beside)
        return [done[number] for number in range(len(tasks))]

    def in_batches(self, task: Task) -> Done:
        """What comes after a batch in which the stage stopped is postponed as well."""
        began = time.perf_counter()
        results: list[Result] = []
        for batch in batched(task.jobs, task.stage.batch_size):
            stop = next((result for result in results if isinstance(result, Postponed)), None)
            results += [stop] * len(batch) if stop else self.work(task.stage, batch)
        return Done(results, time.perf_counter() - began)

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
