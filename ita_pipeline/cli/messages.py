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
from typer.core import TyperCommand

from ita_pipeline.cli.console import say
from ita_pipeline.core.errors import ExitCode, nearest

NARROW, NARROWEST = 60, 24

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
    return bool(os.environ.get("NO_COLOR")) or narrow()


def narrow() -> bool:
    return shutil.get_terminal_size().columns < NARROW


def narrow_help() -> None:
    """Let help keep to a narrow terminal: its library wraps at no less than 50 columns, half of them for names."""
    usual = TyperCommand.context_class.formatter_class

    class Narrow(usual):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(width=max(shutil.get_terminal_size().columns, NARROWEST))

        def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 12, col_spacing: int = 2) -> None:
            super().write_dl(rows, col_max, col_spacing)

    TyperCommand.context_class.formatter_class = Narrow


def fail(message: str, hint: str, code: int) -> None:
    """Say what is wrong and what mends it, and end.

    Raises:
        SystemExit: always, with the code.
    """
    if os.environ.get("ITA_DEBUG"):
        traceback.print_exc()
    say(f"error: {message}")
    say(f"hint: {hint or help_command()}")
    sys.exit(int(code))


def help_command() -> str:
    """The help of the command that was called, as far as its name can be told."""
    command = sys.argv[1] if len(sys.argv) > 1 and re.fullmatch(r"[a-z-]*[a-z]", sys.argv[1]) else ""
    return " ".join(["ita", *filter(None, [command]), "--help"])


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
    message = message.replace("': Value error, ", "': ").replace("': Input ", "': input ")
    if meant:
        return message, f"did you mean {meant.strip().rstrip('?').strip(chr(39))}?"
    if context is None:
        return message, help_command()
    if option and message.startswith("no such option"):
        known = [name for parameter in context.command.params for name in parameter.opts]
        close = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
        if close:
            return message, f"did you mean {close[0]}?"
    choice = re.search(r": '(.*)' is not one of (.+)$", message)
    if choice and (close := nearest(choice[1], re.findall(r"'([^']+)'", choice[2]))):
        return message, close
    example = example_of(context.command.help or "") if message.startswith("missing") else ""
    more = f"{context.command_path} --help"
    return message, f"{example}   (more: {more})" if example else more


def example_of(help: str) -> str:
    """The first example of a command's help."""
    found = re.search(r"^\s*(ita .+)$", help, re.MULTILINE)
    return found[1].strip() if found else ""
