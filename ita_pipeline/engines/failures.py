"""Failures of single items: which item made a stage raise, and whether the stage fails on every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.plugins import REPORT_STAGE
from stages.base import Failure, FailureKind, Item, Postponed, Result, Stage, StageError, Subject
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

    def run(some: Sequence[Item]) -> list[Result]:
        return _run_checked(stage, some)

    results = run_bisected(run, items, record_failure, Exception)
    if errors and needs_only_image(stage):
        try:
            run([Item("", "plain.png", plain_image)])
        except StageError:
            raise
        except Exception:
            raise broken_stage_error(stage, describe_error(errors[0])) from errors[0]
    return results


def _run_checked(stage: Stage[Any], items: Sequence[Item]) -> list[Result]:
    """Run a stage, whose author may have made a mistake, and check that it returns a result for each item.

    Raises:
        TypeError: it returns something else.
        RuntimeError: it calls `sys.exit`.
    """
    try:
        results = list(stage.run(items))
    except SystemExit as error:
        raise RuntimeError(describe_error(error)) from error
    if len(results) != len(items):
        raise TypeError(f"the stage returned {len(results)} results for {len(items)} items")
    for result in results:
        if not isinstance(result, stage.value_type | Failure | Postponed):  # pyright: ignore
            expected = stage.value_type.__name__
            raise TypeError(f"the stage returned a {type(result).__name__} instead of a {expected}")
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


def unstorable_error(stage: Stage[Any], label: str, reason: str) -> StageError:
    """The error for a stage that gave a result for an item that is no valid value."""
    return StageError(
        f"the stage {stage.name} gave a result for {label} that cannot be stored: {reason}", REPORT_STAGE
    )


def to_failure(error: Exception) -> Failure:
    """The failure of an item that made a stage raise."""
    message = str(error).lower()
    if isinstance(error, MemoryError) or any(phrase in message for phrase in OUT_OF_MEMORY_PHRASES):
        kind = FailureKind.RESOURCE
    else:
        kind = FailureKind.TRANSIENT if isinstance(error, OSError) else FailureKind.PERMANENT
    return Failure(kind=kind, reason=describe_error(error))


def describe_error(error: BaseException) -> str:
    """The error on one line: its type and the start of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
