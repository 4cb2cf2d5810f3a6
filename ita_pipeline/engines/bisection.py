"""Run a stage on a batch so that an item which makes it raise fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.base import Failure, FailureKind, Item, Result, Stage, StageError, Subject

# As torch, OpenCV and ONNX Runtime put it.
LACKS_MEMORY = ("out of memory", "insufficient memory", "failed to allocate memory")


def careful(stage: Stage[Any], items: Sequence[Item]) -> list[Result]:
    """Run a batch; an item that makes the stage raise fails alone, its neighbours do not suffer.

    Raises:
        StageError: even a plain picture makes it raise, so the trouble is the stage's and not the items'.
    """
    results = halved(stage, items)
    crashes = [result for result in results if isinstance(result, Exception)]
    by_itself = stage.subject is Subject.PICTURE and not stage.reads
    if crashes and by_itself and isinstance(halved(stage, [plain_picture()])[0], Exception):
        message = f"the stage {stage.name} fails on any picture: {told(crashes[0])}"
        raise StageError(message, "ita --debug … shows where") from crashes[0]
    return [as_failure(result) if isinstance(result, Exception) else result for result in results]


def plain_picture() -> Item:
    from PIL import Image as Pillow

    return Item("", "plain.png", lambda: Pillow.new("RGB", (64, 64), "grey"))


def halved(stage: Stage[Any], items: Sequence[Item]) -> list[Result | Exception]:
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
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(sign in said for sign in LACKS_MEMORY):
        return Failure(kind=FailureKind.RESOURCE, reason=told(error))
    kind = FailureKind.TRANSIENT if isinstance(error, OSError) else FailureKind.PERMANENT
    return Failure(kind=kind, reason=told(error))


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
