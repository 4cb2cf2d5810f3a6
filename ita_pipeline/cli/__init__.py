"""The command line, file by file the twin of `api/`: it parses options, calls the API, and prints what it returns.

May import `api`, `server.serve` and `core`, and computes nothing itself. Modules of `api` are loaded on first use,
so that `ita --help` answers at once. To add a command, write it in the module of its subject and add it to
`COMMANDS`; options that several commands share are in `options.py`.
"""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ita_pipeline import api
from ita_pipeline.cli import help_text, messages
from ita_pipeline.cli.cache import app as cache
from ita_pipeline.cli.config import app as config
from ita_pipeline.cli.config import init
from ita_pipeline.cli.console import print_message, printed_messages
from ita_pipeline.cli.demo import demo
from ita_pipeline.cli.doctor import doctor
from ita_pipeline.cli.exchange import app as data
from ita_pipeline.cli.export_model import export_model
from ita_pipeline.cli.extract import extract
from ita_pipeline.cli.options import complete_values
from ita_pipeline.cli.predict import evaluate, predict
from ita_pipeline.cli.report import compare, report
from ita_pipeline.cli.runs import app as runs
from ita_pipeline.cli.status import status, why
from ita_pipeline.cli.train import train
from ita_pipeline.core.errors import ExitCode, SettingError, UserError

app = typer.Typer(
    name="ita",
    help="Named entity recognition in tweets that also reads the picture.\n\n"
    "ita extract images/\n\n"
    "ita train --dataset example\n\n"
    'ita predict example --text "Big night for Ashby" --image sign.jpg\n\n'
    "ita doctor",
    epilog="Exit codes: 0 success; 1 finished, but not clean; 2 usage or configuration error; 3 a tool, model or "
    "file is missing; 4 damaged cache; 130 interrupted. Use `ita COMMAND --help` for the options of a command.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
help_text.install()
COMMANDS = (extract, status, why, train, evaluate, predict, demo, report, compare, export_model, doctor, init)
for command in COMMANDS:
    app.command()(command)
app.add_typer(runs, name="runs")
app.add_typer(cache, name="cache")
app.add_typer(data, name="data")
app.add_typer(config, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(f"ita-pipeline {installed('ita-pipeline')}")
        raise typer.Exit


@app.callback()
def _global_options(
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks. May appear anywhere on the command line")
    ] = False,
    _quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only results and errors. May appear anywhere")
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit")
    ] = False,
) -> None:
    """Declare the global options, which `take_global_options` handles before the command line is parsed."""


def main() -> None:
    """Run a command, and exit with an error message and exit code if it fails."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or a pipe that is not UTF-8 shows a question mark for what it cannot show.
            stream.reconfigure(errors="replace")
    # Idle OpenMP threads spin and use whole cores; torch reads the setting when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = messages.take_global_options(complete_values(sys.argv[1:]))
    if _needs_help(arguments):
        app(args=[*arguments, "--help"], prog_name="ita", standalone_mode=False)
        sys.exit(ExitCode.USAGE)
    try:
        with printed_messages():
            defaults = _read_defaults(arguments)
            code = app(args=arguments, prog_name="ita", standalone_mode=False, default_map=defaults)
        # Raise `BrokenPipeError` here if the reader, such as `head`, has ended, and not while Python shuts down.
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(ExitCode.NOT_CLEAN)
    except typer.TyperException as error:
        messages.fail_usage(error)
    except Exception as error:
        _fail(error)
    else:
        sys.exit(code or ExitCode.DONE)


def _fail(error: Exception) -> None:
    """Exit with the message of an error that ended a command.

    Raises:
        SystemExit: always.
    """
    if isinstance(error, SettingError):
        assignments = [argument.removeprefix("--set=") for argument in sys.argv[1:]]
        messages.fail(*messages.explain_setting_error(error, assignments), error.exit_code)
    if isinstance(error, UserError):
        messages.fail(str(error), error.hint, error.exit_code)
    if isinstance(error, api.StageError):
        messages.fail(str(error), error.hint, ExitCode.MISSING)
    if isinstance(error, OSError):
        messages.fail(*_explain_system_error(error), ExitCode.MISSING)
    what = f"internal error: {type(error).__name__}: {error}"
    messages.fail(what, "please report it, with the traceback that ita --debug … prints", ExitCode.USAGE)


def _has_working_folder() -> bool:
    """Whether the folder that the command was started in still exists."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True


def _find_closed_path(place: str) -> str:
    """Return the path, or the nearest folder above it, if it may not be both read and written, or else ""."""
    places = [Path(place), *Path(place).parents] if place else []
    found = next((str(one) for one in places if os.path.exists(one)), "")  # noqa: PTH110 (`Path.exists` may raise)
    return "" if os.access(found, os.R_OK | os.W_OK) else found


def _explain_system_error(error: OSError) -> tuple[str, str]:
    """Describe an error of the operating system, and how to fix it."""
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if isinstance(error, FileNotFoundError) and not place and not _has_working_folder():
        return "the current folder no longer exists", "change to a folder that exists: cd …"
    reason = (error.strerror or str(error)).lower()
    if "usable temporary directory" in reason:
        return (
            "cannot write a temporary file: the disk is full or read-only; all finished batches are kept",
            "free some space, or set TMPDIR to a folder that you may write to",
        )
    problem = f"cannot access {place}: {reason}" if place else f"a file operation failed: {reason}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        closed = _find_closed_path(place)
        permit = f"chmod u+rwX {shlex.quote(closed)}" if closed else ""
        is_readable = not closed or os.access(closed, os.R_OK)
        other = "use a folder that you may write to: --workspace FOLDER" if is_readable else ""
        return problem, ", or ".join(filter(None, [permit, other]))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{problem}; all finished batches are kept",
            "free some space (ita cache gc --dry-run shows what can be removed), and run the same command again",
        )
    return problem, "fix the cause, and run the same command again"


def _needs_help(arguments: list[str]) -> bool:
    """Whether there is no command, or only the name of a group."""
    groups = [group.name for group in app.registered_groups if group.typer_instance is not runs]
    return "_ITA_COMPLETE" not in os.environ and (not arguments or (len(arguments) == 1 and arguments[0] in groups))


def _read_defaults(arguments: list[str]) -> dict[str, Any]:
    """Read the options that files and the environment set, for every command."""
    if "_ITA_COMPLETE" in os.environ or "--help" in arguments or "--version" in arguments:
        return {}
    from ita_pipeline.core.config_layers import merge_options, read_layers, unknown_variables

    for variable, hint in unknown_variables(os.environ).items():
        if hint:
            print_message(f"unknown variable {variable}; {hint}")
    layers = read_layers()
    for layer in layers:
        for message, hint in layer.withheld.values():
            print_message(f"{message}; {hint}")
    options = merge_options(layers)
    defaults: dict[str, Any] = dict.fromkeys(command_names(app), options)
    for group in app.registered_groups:
        defaults[group.name or ""] = dict.fromkeys(command_names(group.typer_instance), options)
    return defaults


def command_names(group: typer.Typer | None) -> list[str]:
    """Return the names of the visible commands of a group."""
    commands = group.registered_commands if group is not None else []
    return [
        command.name or command.callback.__name__.replace("_", "-")
        for command in commands
        if command.callback and not command.hidden
    ]
