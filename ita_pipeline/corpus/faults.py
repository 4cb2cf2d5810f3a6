"""What is wrong with a line of a dataset's file, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ita_pipeline.errors import UsageError


class FaultKind(StrEnum):
    """`ORPHAN_TAG` is repaired in reading; lines with any of the others are not what they should be."""

    BAD_TAG = "bad-tag"
    CONTEXT_TAG = "context-tag"
    BAD_LINE = "bad-line"
    ORPHAN_TAG = "orphan-tag"


class FaultError(UsageError):
    """One line of a file, and what is wrong with it."""

    def __init__(self, kind: FaultKind, file: str, line: int, reason: str, hint: str = "") -> None:
        super().__init__(f"{file}, line {line}: {reason}", hint)
        self.kind, self.file, self.line, self.reason = kind, file, line, reason


Hearer = Callable[[FaultError], None]


def refuse(fault: FaultError) -> None:
    """The ordinary hearer: whatever is not repaired in reading ends it.

    Raises:
        FaultError: the fault itself.
    """
    if fault.kind is not FaultKind.ORPHAN_TAG:
        raise fault
