"""The executor protocol, which runs stages on items, and the executor that runs them in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Annotated, Any, Protocol

from pydantic import Field

from ita_pipeline.engines.failures import run_stage
from ita_pipeline.engines.image_cache import DecodedImageCache, decoded_size
from ita_pipeline.sources.decode import measure_image, open_image
from ita_pipeline.sources.refs import ImageRef, ItemRef, PostRef
from stages.base import BadItemError, Frozen, Item, Postponed, Result, Stage, Value

MEGABYTE = 1024 * 1024


class Limits(Frozen):
    """Limits for one image: the size of its file, its pixels, a stage's time, and memory beyond the model's.

    `decoded_megabytes` limits the memory of all images that a process has decoded at the same time.
    """

    megabytes: Annotated[int, Field(gt=0)] = 25
    megapixels: Annotated[int, Field(gt=0)] = 40
    seconds: Annotated[float, Field(gt=0)] = 300.0
    memory_megabytes: Annotated[int, Field(gt=0)] = 4096
    decoded_megabytes: Annotated[int, Field(gt=0)] = 2048


@dataclass(frozen=True, slots=True)
class Job:
    """An image or a post for a stage, with the values of the stages that it reads."""

    item: ItemRef
    upstream: Mapping[str, Value] = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True)
class StageJobs:
    """An open stage and its jobs."""

    stage: Stage[Any]
    jobs: Sequence[Job]


@dataclass(frozen=True, slots=True)
class StageResults:
    """One result per job, in order, and the seconds that all jobs took together.

    `lines` are the records that another process has encoded already, by item key.
    """

    results: list[Result]
    seconds: float
    lines: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


class Executor(Protocol):
    """Runs stages on images and posts."""

    def open(self, stage: Stage[Any]) -> str:
        """Open a stage and return the device that it runs on.

        Raises:
            StageError: its models or tools are missing.
        """
        ...

    def run_task(self, task: StageJobs) -> StageResults:
        """Run the jobs of a stage. What is wrong with an item becomes its failure.

        Raises:
            StageError: the stage cannot work at all.
        """
        ...

    def run_together(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """Run stages that do not read each other: those of one device in turn, all devices at the same time.

        Raises:
            StageError: a stage cannot work at all.
        """
        ...

    def prefetch(self, images: Sequence[ImageRef]) -> None:
        """Decode the images that come next while others are processed. Only a hint."""


class InProcessExecutor:
    """Runs stages in this process: for models that are loaded already, and for tests."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        max_bytes, max_pixels = self.limits.megabytes * MEGABYTE, self.limits.megapixels * 1_000_000
        decode = partial(open_image, max_bytes=max_bytes, max_pixels=max_pixels)
        self.measure_header = partial(measure_image, max_bytes=max_bytes, max_pixels=max_pixels)
        self.measure = lru_cache(10_000)(self._measure)  # all stages ask for the same images
        # Half of the memory is for the images that stages hold, a quarter for the cache, and the rest for one that
        # is decoded ahead.
        decoded_megabytes = min(self.limits.decoded_megabytes, self.limits.memory_megabytes / 2)
        self.batch_bytes = decoded_megabytes * MEGABYTE / 2
        self.image_cache = DecodedImageCache(decode, round(self.batch_bytes / 2))

    def open(self, stage: Stage[Any]) -> str:
        """Implement `Executor.open`."""
        stage.open()
        return stage.device

    def run_jobs(self, stage: Stage[Any], jobs: Sequence[Job]) -> list[Result]:
        """Run the jobs as one batch."""
        return run_stage(stage, [self._to_item(job) for job in jobs])

    def run_task(self, task: StageJobs, devices: int = 1) -> StageResults:
        """Run the jobs in batches. All jobs after a batch in which the stage stopped are postponed too.

        Stages of as many `devices` run at the same time and share the memory.
        """
        start = time.perf_counter()
        results: list[Result] = []
        for batch in self._split(task, self.batch_bytes / devices):
            stop = next((result for result in results if isinstance(result, Postponed)), None)
            results += [stop] * len(batch) if stop else self.run_jobs(task.stage, batch)
        return StageResults(results, time.perf_counter() - start)

    def run_together(self, tasks: Sequence[StageJobs]) -> list[StageResults]:
        """Implement `Executor.run_together`."""
        by_device: dict[str, list[StageJobs]] = {}
        for task in tasks:
            by_device.setdefault(task.stage.device, []).append(task)
        results: dict[str, StageResults] = {}

        def run_device(device_tasks: Sequence[StageJobs]) -> None:
            for task in device_tasks:
                results[task.stage.name] = self.run_task(task, len(by_device))

        first, *others = by_device.values()
        with ThreadPoolExecutor(max(1, len(others))) as pool:
            pending = pool.map(run_device, others)
            run_device(first)
            list(pending)
        return [results[task.stage.name] for task in tasks]

    def prefetch(self, images: Sequence[ImageRef]) -> None:
        """Implement `Executor.prefetch`."""
        self.image_cache.prefetch(images)

    def _split(self, task: StageJobs, max_bytes: float) -> Iterator[list[Job]]:
        """Divide jobs into batches whose images, and a copy of the largest while it is converted, fit in memory."""
        batch: list[Job] = []
        total = largest = 0
        for job in task.jobs:
            size = 0 if job.item.image is None else self.measure(job.item.image)
            total, largest = total + size, max(largest, size)
            if batch and (len(batch) == task.stage.batch_size or total + largest > max_bytes):
                yield batch
                batch, total, largest = [], size, size
            batch.append(job)
        if batch:
            yield batch

    def _measure(self, image: ImageRef) -> int:
        """How many bytes an image takes once it is decoded, or 0 if it cannot be.

        An image that has to be fetched is decoded for this, since the cache keeps it if there is space.
        """
        if not image.is_remote:
            return self.measure_header(image)
        try:
            return decoded_size(self.image_cache.get(image))
        except BadItemError:
            return 0

    def _to_item(self, job: Job) -> Item:
        item, image = job.item, job.item.image
        decode = None if image is None else partial(self.image_cache.get, image)
        if isinstance(item, PostRef):
            more = tuple(partial(self.image_cache.get, other) for other in item.more)
            return Item(item.key, item.label, decode, job.upstream, item.text, item.examples, more)
        return Item(item.key, image.source.name if image else item.label, decode, job.upstream)
