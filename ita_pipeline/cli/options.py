"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer


def complete_names(kind: str, *more: str) -> Callable[[str], list[str]]:
    """Create the shell completion of an option that takes a name of a configuration file."""

    def complete(incomplete: str) -> list[str]:
        from ita_pipeline.core.config import config_files

        return [name for name in (*config_files(kind), *more) if name.startswith(incomplete)]

    return complete


Thumbnails = Annotated[
    Literal["auto", "inside", "beside", "none"],
    typer.Option(help="Thumbnails in the page, beside it, or none; auto: by their number."),
]

Preset = Annotated[
    str,
    typer.Option(
        envvar="ITA_PRESET",
        help="Models to use: bundled, paper, auto, or a YAML file.",
        show_default=True,
        autocompletion=complete_names("presets", "auto"),
    ),
]

Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="STAGE.PARAMETER=VALUE", help="Change one setting. Repeatable.")
]

WorkspaceFolder = Annotated[
    Path, typer.Option("--workspace", envvar="ITA_WORKSPACE", help="Where .ita/, data/ and runs/ lie.")
]

Limit = Annotated[int | None, typer.Option(min=1, help="Work on at most so many pictures.")]

ShardOf = Annotated[
    str | None, typer.Option("--shard", metavar="N/OF", help="One of several shares of the work, such as 3/16.")
]

Yes = Annotated[bool, typer.Option("--yes", help="Agree that posts and pictures are sent to other machines.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and why, and do nothing.")]

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]

DatasetFolder = Annotated[Path | None, typer.Option("--data", envvar="ITA_DATA", help="Where its files lie.")]

Encoder = Annotated[
    str | None,
    typer.Option(envvar="ITA_ENCODER", help="minilm, a model of the hub, or a folder; the preset's by default."),
]

Captions = Annotated[
    str,
    typer.Option(envvar="ITA_CAPTIONS", help="A file of captions made elsewhere; auto takes the card's; or none."),
]

Contexts = Annotated[
    str, typer.Option(help="What of the picture is appended: all, none, or a list as caption,ocr.")
]

Experiment = Annotated[
    str | None,
    typer.Option(
        envvar="ITA_EXPERIMENT",
        help="Training settings: a name or a YAML file.",
        autocompletion=complete_names("experiments"),
    ),
]
