"""Errors in single lines of a dataset file, and how a reader reports them."""

from __future__ import annotations

from collections.abc import Callable

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.findings import FindingKind

REFUSED = frozenset({FindingKind.BAD_TAG, FindingKind.CONTEXT_TAG, FindingKind.BAD_LINE, FindingKind.BAD_BOX})


class LineError(UsageError):
    """An error in one line of a file."""

    def __init__(self, kind: FindingKind, file: str, line: int, reason: str, hint: str) -> None:
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
