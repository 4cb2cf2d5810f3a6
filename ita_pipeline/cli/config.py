"""`ita config` and `ita init`: the settings of this folder, and whom the user trusts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ita_pipeline import api
from ita_pipeline.cli import options as opts
from ita_pipeline.cli.console import columns, print_message, print_note
from ita_pipeline.cli.messages import explain_setting_error
from ita_pipeline.core.errors import ExitCode, UsageError
from ita_pipeline.core.text import clean_line

app = typer.Typer(help="Show the settings and their origins, and trust hosts.", no_args_is_help=True)


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from")] = False,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show the training settings for this dataset")
    ] = None,
    # Parameters with the shared names would get the values of files and the environment as if given by hand.
    preset_flag: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="Show the settings with this preset")
    ] = None,
    encoder_flag: Annotated[
        str | None, typer.Option("--encoder", metavar="NAME", help="Show the settings with this encoder")
    ] = None,
    assignments: opts.Assignments = None,
    as_json: opts.AsJson = False,
) -> None:
    """Show the settings that commands use in this folder, in the form of --set.

    Precedence: options, --set, environment variables (ITA_PRESET, ITA_OCR__PAGE_MODE), ita.yaml, your own file,
    the preset or experiment, and the default.

    ita config show --origin

    ita config show --preset paper --set ocr.page_mode=6 --origin
    """
    from ita_pipeline.core.config_layers import unknown_variables

    given = {"preset": preset_flag, "encoder": encoder_flag}
    flags = {name: value for name, value in given.items() if value is not None}
    result = api.config.settings(flags, tuple(assignments or ()), dataset)
    for variable, hint in unknown_variables(os.environ).items():
        if not hint:  # others are reported by every command
            print_message(
                f"unknown variable {variable}; after a section, write two underscores: ITA_OCR__PAGE_MODE"
            )
    if as_json:
        rows = [{"name": one.name, "value": one.value, "origin": one.origin} for one in result.all]
        print(json.dumps({"schema": "ita.config/1", "preset": result.why, "settings": rows}))
        return
    for problem in result.problems:
        message, hint = explain_setting_error(problem, assignments or ())
        print_message(f"error: {message}")
        print_message(f"hint: {hint}")
    lines = [(f"{one.name}={_format_value(one.value)}", one.origin if origin else "") for one in result.all]
    print(columns(lines))
    if result.problems:
        raise typer.Exit(ExitCode.USAGE)


def _format_value(value: Any) -> str:
    """Format a value as `--set` expects it."""
    return value if isinstance(value, str) else json.dumps(value)


@app.command()
def trust(
    host: Annotated[
        str | None,
        typer.Argument(help="Host (api.example.org, localhost:11434), bucket (s3://bucket) or folder"),
    ] = None,
    key: Annotated[bool, typer.Option("--key", help="Also agree to send the API key")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the trusted hosts")] = False,
    remove: Annotated[str | None, typer.Option(metavar="HOST", help="Stop trusting a host")] = None,
) -> None:
    """Agree to send posts and pictures to a host, or records to a shared cache, from every folder.

    Runs, presets and the ita.yaml of a folder can name addresses. Nothing is sent to them before you agree.

    ita config trust api.example.org

    ita config trust --list
    """
    from ita_pipeline.core.trust import add_trust, read_trust, remove_trust

    if [host is not None, listed, remove is not None].count(True) != 1:
        raise UsageError("name one thing to do", "ita config trust HOST, or --list, or --remove HOST")
    if host is not None:
        place = add_trust(host, key)
        print_note(f"{place} is trusted{', also with the API key' if key else ''}")
    elif remove is not None:
        print_note(f"{remove_trust(remove)} is trusted no longer")
    else:
        for place, trusted in sorted(read_trust().items()):
            print(clean_line(f"{place} (also with the API key)" if trusted.key else place))


def init() -> None:
    """Write a commented ita.yaml to this folder. Never overwrites a file.

    ita init
    """
    from ita_pipeline.core.config import package_data_folder
    from ita_pipeline.core.config_layers import PROJECT_FILE

    template = (package_data_folder("configs") / PROJECT_FILE).read_text("utf-8")
    try:
        with Path(PROJECT_FILE).open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError:
        hint = "ita config show --origin shows its settings"
        raise UsageError(f"{PROJECT_FILE} already exists", hint) from None
    print_note(f"wrote {PROJECT_FILE}, in which every line is a comment")
