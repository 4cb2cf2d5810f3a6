"""What is wrong with a line of a dataset's file, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ita_pipeline.core.errors import UsageError


class FaultKind(StrEnum):
    """Lines of the first three kinds are not what they should be. An orphan is repaired in reading, and a tweet
    with a missing tag is read as one that nobody labelled.
    """

    BAD_TAG = "bad-tag"
    CONTEXT_TAG = "context-tag"
    BAD_LINE = "bad-line"
    MISSING_TAG = "missing-tag"
    ORPHAN_TAG = "orphan-tag"


BORNE = frozenset({FaultKind.MISSING_TAG, FaultKind.ORPHAN_TAG})


class FaultError(UsageError):
    """One line of a file, and what is wrong with it."""

    def __init__(self, kind: FaultKind, file: str, line: int, reason: str, hint: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}", hint)
        self.kind, self.file, self.line, self.reason = kind, file, line, reason


Hearer = Callable[[FaultError], None]


def refuse(fault: FaultError) -> None:
    """The ordinary hearer: whatever reading cannot bear ends it.

    Raises:
        FaultError: the fault itself.
    """
    if fault.kind not in BORNE:
        raise fault
