"""How the command line listens and answers: options that may stand anywhere, and errors in one form."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

from ita_pipeline.cli.console import say
from ita_pipeline.errors import ExitCode

NARROW = 60
ANYWHERE = {"--debug": "ITA_DEBUG", "--quiet": "ITA_QUIET", "-q": "ITA_QUIET"}


def heard(arguments: Sequence[str]) -> list[str]:
    """The command line without `--debug` and `--quiet`, which may stand anywhere before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument in arguments[:end]:
        if argument in ANYWHERE:
            os.environ[ANYWHERE[argument]] = "1"
    return [argument for argument in arguments[:end] if argument not in ANYWHERE] + list(arguments[end:])


def plain_help() -> bool:
    """Whether help is better without frames and bold letters: by wish, or where frames leave no room for words."""
    return bool(os.environ.get("NO_COLOR")) or shutil.get_terminal_size().columns < NARROW


def fail(message: str, hint: str, code: int) -> None:
    """Say what is wrong and what mends it, and end.

    Raises:
        SystemExit: always, with the code.
    """
    if os.environ.get("ITA_DEBUG"):
        traceback.print_exc()
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")
    sys.exit(int(code))


def refuse(error: typer.TyperException) -> None:
    """Fail as for any other error where the command line itself is wrong.

    Raises:
        SystemExit: always.
    """
    context: Any = getattr(error, "ctx", None)
    message, hint = told(error.format_message(), getattr(error, "option_name", ""), context)
    fail(message, hint, getattr(error, "exit_code", ExitCode.USAGE))


def told(message: str, option: str, context: Any) -> tuple[str, str]:
    """A library's message in our form: what is wrong, and apart from it what mends it."""
    message, _, meant = message.partition(" Did you mean ")
    message, _, _ = message.partition(" (Possible options:")
    message = (message[:1].lower() + message[1:]).strip().rstrip(".")
    if meant:
        return message, f"did you mean {meant.strip().rstrip('?').strip(chr(39))}?"
    if context is None:
        command = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].isalpha() else ""
        return message, " ".join(["ita", *filter(None, [command]), "--help"])
    if option and message.startswith("no such option"):
        known = [name for parameter in context.command.params for name in parameter.opts]
        close = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
        if close:
            return message, f"did you mean {close[0]}?"
    example = example_of(context.command.help or "") if message.startswith("missing") else ""
    more = f"{context.command_path} --help"
    return message, f"{example}   (more: {more})" if example else more


def example_of(help: str) -> str:
    """The first example of a command's help."""
    found = re.search(r"^\s*(ita .+)$", help, re.MULTILINE)
    return found[1].strip() if found else ""
