"""The command line: a thin skin over `ita_pipeline.pipeline`. Heavy imports wait inside the commands."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ita_pipeline.cli.cache import app as cache
from ita_pipeline.cli.console import say
from ita_pipeline.cli.extract import extract
from ita_pipeline.cli.options import completed
from ita_pipeline.cli.predict import predict
from ita_pipeline.cli.report import report
from ita_pipeline.cli.status import status
from ita_pipeline.cli.train import train
from ita_pipeline.cli.why import why
from ita_pipeline.errors import ExitCode, UserError
from stages.base import StageError

app = typer.Typer(
    name="ita",
    help="Named entity recognition in tweets that also reads the picture.\n\n"
    "ita extract images/\n\nita train --dataset example\n\n"
    "Exit codes: 0 done; 1 done but not clean; 2 usage or configuration; 3 a tool, model or file is missing; "
    "4 corrupt cache; 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for command in (extract, status, why, train, predict, report):
    app.command()(command)
app.add_typer(cache, name="cache")


def version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(f"ita-pipeline {installed('ita-pipeline')}")
        raise typer.Exit


@app.callback()
def before_any_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Show it.")] = False,
) -> None:
    if debug:
        os.environ["ITA_DEBUG"] = "1"


def main() -> None:
    """Run a command; what a person can mend is told in a sentence, with the exit code that fits."""
    # Idle OpenMP threads spin, and beside a busy neighbour burn whole cores; read when torch is first loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(args=completed(sys.argv[1:]))
    except UserError as error:
        fail(str(error), error.hint, error.exit_code)
    except StageError as error:
        fail(str(error), error.hint, ExitCode.MISSING)
    except OSError as error:
        fail(f"the system said no: {error}", "mend that and run the same command again", ExitCode.MISSING)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        fail(
            f"this should not have happened: {what}", "ita --debug … shows where; please report it", ExitCode.USAGE
        )


def fail(message: str, hint: str, code: ExitCode) -> None:
    if os.environ.get("ITA_DEBUG"):
        raise
    say(f"error: {message}")
    if hint:
        say(f"hint: {hint}")
    sys.exit(int(code))
