"""Errors a person can mend: one sentence, a hint, and the exit code it ends the command with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0
    NOT_CLEAN = 1
    USAGE = 2
    MISSING = 3
    CORRUPT = 4
    INTERRUPTED = 130


class UserError(Exception):
    """What is wrong and where; `hint` is what mends it, best a command to paste."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NotCleanError(UserError):
    """Something was done, but not all that was asked for."""

    exit_code = ExitCode.NOT_CLEAN


class UsageError(UserError):
    """The command, a setting or a configuration file asks for something that cannot be."""


class MissingError(UserError):
    """A tool, a model or a file is not there."""

    exit_code = ExitCode.MISSING


class CorruptCacheError(UserError):
    """A cached record was damaged after it had been written."""

    exit_code = ExitCode.CORRUPT


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean …?` for a misspelt name, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
