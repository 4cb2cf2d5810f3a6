"""Options that several commands share, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[
    str,
    typer.Option(
        envvar="ITA_PRESET", help="Models to use: bundled, paper, auto, or a YAML file.", show_default=True
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.PARAMETER=VALUE", help="Change one setting. Repeatable."),
]
WorkspaceFolder = Annotated[
    Path, typer.Option("--workspace", envvar="ITA_WORKSPACE", help="Where .ita/, data/ and runs/ lie.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try pictures again that failed before.")]
