"""What is wrong with a line of a dataset's file, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ita_pipeline.core.errors import UsageError


class LineErrorKind(StrEnum):
    """Lines of the first three kinds are not what they should be. An orphan is repaired in reading, and a tweet
    with a missing tag is read as one that nobody labelled.
    """

    BAD_TAG = "bad-tag"
    CONTEXT_TAG = "context-tag"
    BAD_LINE = "bad-line"
    MISSING_TAG = "missing-tag"
    ORPHAN_TAG = "orphan-tag"


TOLERATED = frozenset({LineErrorKind.MISSING_TAG, LineErrorKind.ORPHAN_TAG})


class LineError(UsageError):
    """One line of a file, and what is wrong with it."""

    def __init__(self, kind: LineErrorKind, file: str, line: int, reason: str, hint: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}", hint)
        self.kind, self.file, self.line, self.reason = kind, file, line, reason


OnLineError = Callable[[LineError], None]


def raise_unless_tolerated(fault: LineError) -> None:
    """The ordinary hearer: whatever reading cannot bear ends it.

    Raises:
        LineError: the fault itself.
    """
    if fault.kind not in TOLERATED:
        raise fault
