"""Run a plan in this process, batch by batch, each batch safe on disk before the next one starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Failed, Plan, StagePlan, Stale
from ita_pipeline.cache.segments import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.images import ImageRef
from stages.base import Failure, FailureKind, Item, Stage, StageError, Value

if TYPE_CHECKING:
    from PIL.Image import Image


class Progress(Protocol):
    """Who watches a run."""

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...


class Silent:
    """Watches a run and says nothing."""

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What became of a stage: counts of images, all failures old and new, and the seconds it took."""

    key: StageKey
    fresh: int
    done: int
    failed: tuple[Failed, ...]
    seconds: float


def run(
    plan: Plan, store: Store, open_image: Callable[[ImageRef], Image], progress: Progress
) -> tuple[StageOutcome, ...]:
    """Do what the plan says. Whatever stops it, finished batches stay.

    Raises:
        StageError: a stage cannot work at all.
        OSError: the store cannot be written.
    """
    return tuple(run_stage(stage, plan, store, open_image, progress) for stage in plan.stages)


def run_stage(
    todo: StagePlan, plan: Plan, store: Store, open_image: Callable[[ImageRef], Image], progress: Progress
) -> StageOutcome:
    began = time.perf_counter()
    failed = list(todo.failed)
    if todo.stale:
        upstream = {
            other.stage.name: store.results(other.stage, other.key)
            for other in plan.stages
            if other.stage.name in todo.stage.reads
        }
        todo.stage.open()
        progress.start(todo.stage.name, len(todo.stale))
        try:
            with store.writer(todo.key) as writer:
                for batch in batches(todo.stale, todo.stage.batch_size):
                    records = run_batch(todo.stage, batch, upstream, open_image)
                    writer.append(records)
                    failed += [
                        Failed(stale.image, record.result)
                        for stale, record in zip(batch, records, strict=True)
                        if isinstance(record.result, Failure)
                    ]
                    progress.advance(len(batch))
        finally:
            progress.finish()
    done = len(todo.stale) - (len(failed) - len(todo.failed))
    return StageOutcome(todo.key, todo.fresh, done, tuple(failed), time.perf_counter() - began)


def batches(stale: Sequence[Stale], size: int) -> Iterator[list[Stale]]:
    rest = iter(stale)
    while batch := list(islice(rest, size)):
        yield batch


def run_batch(
    stage: Stage[Any],
    batch: Sequence[Stale],
    upstream: dict[str, Any],
    open_image: Callable[[ImageRef], Image],
) -> list[Record]:
    """One record an image; an image whose upstream failed fails with it, without being looked at."""
    results: dict[str, Value | Failure] = {}
    items: list[Item] = []
    for stale in batch:
        image = stale.image
        values = {name: records.get(image.key) for name, records in upstream.items()}
        broken = {name: record.result for name, record in values.items() if is_failure(record)}
        if broken:
            name, failure = next(iter(broken.items()))
            results[image.key] = Failure(kind=failure.kind, reason=f"{name}: {failure.reason}")
            continue
        found = {name: record.result for name, record in values.items() if record is not None}
        items.append(Item(image.key, image.path.name, lambda image=image: open_image(image), found))
    began = time.perf_counter()
    results |= dict(zip([item.key for item in items], careful(stage, items), strict=True))
    seconds = (time.perf_counter() - began) / max(1, len(items))
    return [Record(stale.image.key, results[stale.image.key], seconds) for stale in batch]


def is_failure(record: Record | None) -> bool:
    return record is not None and isinstance(record.result, Failure)


def careful(stage: Stage[Any], items: Sequence[Item]) -> list[Value | Failure]:
    """Run a batch; an item that makes the stage raise fails alone, its neighbours do not suffer.

    Raises:
        StageError: even a plain picture makes it raise, so the trouble is the stage's and not the items'.
    """
    results = halved(stage, items)
    crashes = [result for result in results if isinstance(result, Exception)]
    if crashes and not stage.reads and isinstance(halved(stage, [plain_picture()])[0], Exception):
        message = f"the stage {stage.name} fails on any picture: {told(crashes[0])}"
        raise StageError(message, "ita --debug … shows where") from crashes[0]
    return [as_failure(result) if isinstance(result, Exception) else result for result in results]


def plain_picture() -> Item:
    from PIL import Image as Pillow

    return Item("", "plain.png", lambda: Pillow.new("RGB", (64, 64), "grey"))


def halved(stage: Stage[Any], items: Sequence[Item]) -> list[Value | Failure | Exception]:
    if not items:
        return []
    try:
        return list(stage.run(items))
    except StageError:
        raise
    except Exception as error:
        if len(items) == 1:
            return [error]
        middle = len(items) // 2
        return halved(stage, items[:middle]) + halved(stage, items[middle:])


def as_failure(error: Exception) -> Failure:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return Failure(kind=FailureKind.RESOURCE, reason=told(error))
    kind = FailureKind.TRANSIENT if isinstance(error, OSError) else FailureKind.PERMANENT
    return Failure(kind=kind, reason=told(error))


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
