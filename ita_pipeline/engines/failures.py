"""Failures of single items: which item made a stage raise, and whether the stage fails on every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.base import Failure, FailureKind, Item, Result, Stage, StageError, Subject
from stages.batching import run_bisected

if TYPE_CHECKING:
    from PIL.Image import Image

# The phrases of torch, OpenCV and ONNX Runtime.
OUT_OF_MEMORY_PHRASES = ("out of memory", "insufficient memory", "failed to allocate memory")


def run_stage(stage: Stage[Any], items: Sequence[Item]) -> list[Result]:
    """Run a stage on a batch so that an item that makes it raise fails alone.

    Raises:
        StageError: the stage raises even for a plain image, so the fault is in the stage, not in the items.
    """
    errors: list[Exception] = []

    def record_failure(_: Item, error: Exception) -> Result:
        errors.append(error)
        return to_failure(error)

    results = run_bisected(stage.run, items, record_failure, Exception)
    if errors and needs_only_image(stage):
        try:
            stage.run([Item("", "plain.png", plain_image)])
        except StageError:
            raise
        except Exception:
            raise broken_stage_error(stage, describe_error(errors[0])) from errors[0]
    return results


def needs_only_image(stage: Stage[Any]) -> bool:
    """Whether the stage can be tried on a plain image: it reads no post and no other stage."""
    return stage.subject is Subject.PICTURE and not stage.reads


def plain_image() -> Image:
    """A gray image, which every working stage can process."""
    from PIL import Image as Pillow

    return Pillow.new("RGB", (64, 64), "grey")


def broken_stage_error(stage: Stage[Any], reason: str) -> StageError:
    """The error for a stage that fails on the plain image too."""
    return StageError(f"the stage {stage.name} fails on any picture: {reason}", "ita --debug … shows where")


def to_failure(error: Exception) -> Failure:
    """The failure of an item that made a stage raise."""
    message = str(error).lower()
    if isinstance(error, MemoryError) or any(phrase in message for phrase in OUT_OF_MEMORY_PHRASES):
        kind = FailureKind.RESOURCE
    else:
        kind = FailureKind.TRANSIENT if isinstance(error, OSError) else FailureKind.PERMANENT
    return Failure(kind=kind, reason=describe_error(error))


def describe_error(error: Exception) -> str:
    """The error on one line: its type and the start of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
