"""Errors that users can fix: one sentence, a hint, and the exit code of the command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `ita`."""

    DONE = 0
    NOT_CLEAN = 1
    USAGE = 2
    MISSING = 3
    CORRUPT = 4
    INTERRUPTED = 130


class UserError(Exception):
    """An error that a user can fix: what is wrong and where, and a `hint`, ideally a command to paste."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NotCleanError(UserError):
    """Some of the work was done, but not all of it."""

    exit_code = ExitCode.NOT_CLEAN


class UsageError(UserError):
    """A command, a setting or a configuration file asks for something impossible."""


class SettingError(UsageError):
    """A setting is unknown, or its value is invalid: the `path` of names that leads to it, and what is wrong."""

    def __init__(self, where: str, path: Sequence[str], problem: str, hint: str) -> None:
        super().__init__(f"{where}{'.'.join(path)} {problem}", hint)
        self.path = tuple(path)
        self.problem = problem


class MissingError(UserError):
    """A tool, a model or a file is missing."""

    exit_code = ExitCode.MISSING


class CorruptCacheError(UserError):
    """A cached record was damaged after it had been written."""

    exit_code = ExitCode.CORRUPT


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `did you mean …?` for a misspelled name, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {close[0]}?" if close else ""
