"""Global options and error messages."""

from __future__ import annotations

import difflib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import typer

from ita_pipeline.cli.console import print_message
from ita_pipeline.cli.options import OPTIONAL_VALUES
from ita_pipeline.core.errors import ExitCode, SettingError, nearest

GLOBAL_OPTIONS = {"--debug": "ITA_DEBUG", "--quiet": "ITA_QUIET", "-q": "ITA_QUIET"}


def take_global_options(arguments: Sequence[str]) -> list[str]:
    """Apply and remove `--debug` and `--quiet`, which may appear anywhere before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument in arguments[:end]:
        if argument in GLOBAL_OPTIONS:
            os.environ[GLOBAL_OPTIONS[argument]] = "1"
    return [argument for argument in arguments[:end] if argument not in GLOBAL_OPTIONS] + list(arguments[end:])


def fail(message: str, hint: str, code: int) -> None:
    """Print an error and its hint, and exit.

    Raises:
        SystemExit: always, with this exit code.
    """
    if os.environ.get("ITA_DEBUG"):
        traceback.print_exc()
    print_message(f"error: {message}")
    print_message(f"hint: {hint or _help_command()}")
    sys.exit(int(code))


def _help_command() -> str:
    """The command that shows the help of the current command, as far as its name is known."""
    command = sys.argv[1] if len(sys.argv) > 1 and re.fullmatch(r"[a-z-]*[a-z]", sys.argv[1]) else ""
    return " ".join(["ita", *filter(None, [command]), "--help"])


def explain_setting_error(error: SettingError, assignments: Iterable[str]) -> tuple[str, str]:
    """Return the message and hint of an invalid setting, with the file and line or the variable that sets it."""
    from ita_pipeline.core.config_layers import setting_origin

    setting = ".".join(error.path)
    is_assigned = any(text.startswith(f"{setting}=") for text in assignments)
    origin = "" if is_assigned else setting_origin(error.path)
    if not origin:
        is_invalid = is_assigned and error.problem != "is not a setting"
        return str(error), f"correct --set {setting}=…" if is_invalid else error.hint
    hint = error.hint if error.problem == "is not a setting" else f"correct {setting} there"
    return f"{origin}: {setting} {error.problem}", hint


def fail_usage(error: typer.TyperException) -> None:
    """Exit with the message of an error in the command line itself.

    Raises:
        SystemExit: always.
    """
    context: Any = getattr(error, "ctx", None)
    message, hint = _explain_usage_error(error.format_message(), getattr(error, "option_name", ""), context)
    fail(message, hint, getattr(error, "exit_code", ExitCode.USAGE))


def _explain_usage_error(message: str, option: str, context: Any) -> tuple[str, str]:
    """Split a message of Typer into what is wrong and a hint."""
    message, _, suggestion = message.partition(" Did you mean ")
    message, _, _ = message.partition(" (Possible options:")
    message = (message[:1].lower() + message[1:]).strip().rstrip(".")
    message = re.sub(
        r"^missing argument '([a-z_]+)'", lambda found: f"missing argument '{found[1].upper()}'", message
    )
    value = re.match(r"invalid value for '([^']+)'(?: \(env var: '([^']+)'\))?: (.*)", message)
    if value:
        return _explain_value(value[1], value[2], value[3], context)
    if extra := re.fullmatch(r"got unexpected extra arguments?\(?s?\)? \((.*)\)", message):
        return _explain_extra(extra[1], context)
    if suggestion:
        return message, f"did you mean {suggestion.strip().rstrip('?').strip(chr(39))}?"
    if context is None:
        return message, _help_command()
    if option and message.startswith("no such option"):
        known = [name for parameter in context.command.params for name in parameter.opts]
        close = difflib.get_close_matches(option, known, n=1, cutoff=0.7)
        if close:
            return message, f"did you mean {close[0]}?"
    more = f"{context.command_path} --help"
    example = re.search(r"^\s*(ita .+)$", context.command.help or "", re.MULTILINE)
    if example and message.startswith("missing"):
        return message, f"{example[1].strip()}   (more: {more})"
    return message, more


def _explain_value(name: str, variable: str | None, reason: str, context: Any) -> tuple[str, str]:
    """Explain an invalid value of an option, which the command line or an environment variable sets."""
    from ita_pipeline.core.config import describe_requirement

    name = name if name.startswith("-") else name.upper()
    is_typed = any(argument.partition("=")[0] == name for argument in sys.argv[1:])
    where = variable if variable and variable in os.environ and not is_typed else name
    more = f"{context.command_path} --help" if context else _help_command()
    choice = re.fullmatch(r"(?:Value error, )?'(.*)' is not one of (.+)", reason)
    if choice:
        return _explain_choice(where, choice[1], re.findall(r"'([^']+)'", choice[2]), more)
    return f"{where} {describe_requirement([reason])}", more


def _explain_extra(values: str, context: Any) -> tuple[str, str]:
    """Explain words that are not arguments, the first of which may have been meant as the value of an option."""
    words, more = values.split(), f"{context.command_path} --help" if context else _help_command()
    before = next((one for one, after in pairwise(sys.argv) if after == words[0]), "")
    if before in OPTIONAL_VALUES:
        return _explain_choice(before, words[0], OPTIONAL_VALUES[before], more)
    return f"unexpected argument{'s' if len(words) > 1 else ''}: {' '.join(words)}", more


def _explain_choice(where: str, value: str, names: Sequence[str], more: str) -> tuple[str, str]:
    """Explain a value that is none of several names."""
    *others, last = names
    return f"{where} must be {', '.join(others)} or {last}, not {value}", nearest(value, names) or more
