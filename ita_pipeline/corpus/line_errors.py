"""Errors in single lines of a dataset file, and how a reader reports them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ita_pipeline.core.errors import UsageError


class LineErrorKind(StrEnum):
    """What is wrong with a line.

    A reader repairs an orphan tag, reads a tweet with a missing tag as unlabeled, leaves out a box that matches no
    mention, and keeps mentions that tags cannot express and boxes that leave the picture. It refuses all other
    kinds.
    """

    BAD_TAG = "bad-tag"
    CONTEXT_TAG = "context-tag"
    BAD_LINE = "bad-line"
    MISSING_TAG = "missing-tag"
    ORPHAN_TAG = "orphan-tag"
    PARTIAL_MENTION = "partial-mention"
    OVERLAPPING_MENTION = "overlapping-mention"
    BAD_BOX = "bad-box"
    UNMATCHED_BOX = "unmatched-box"
    OUTSIDE_BOX = "outside-box"


REFUSED = frozenset(
    {LineErrorKind.BAD_TAG, LineErrorKind.CONTEXT_TAG, LineErrorKind.BAD_LINE, LineErrorKind.BAD_BOX}
)


class LineError(UsageError):
    """An error in one line of a file."""

    def __init__(self, kind: LineErrorKind, file: str, line: int, reason: str, hint: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}", hint)
        self.kind, self.file, self.line, self.reason = kind, file, line, reason


OnLineError = Callable[[LineError], None]


def raise_unless_tolerated(error: LineError) -> None:
    """Raise an error that the reader cannot repair: the default `on_error` of all readers.

    Raises:
        LineError: the error itself.
    """
    if error.kind in REFUSED:
        raise error
