"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class FailureChoice(StrEnum):
    """The values of `--retry-failed`."""

    ANY = "any"
    PERMANENT = "permanent"
    TRANSIENT = "transient"
    RESOURCE = "resource"


def complete_names(kind: str, *more: str) -> Callable[[str], list[str]]:
    """Create the shell completion of an option that takes a name of a configuration file."""

    def complete(incomplete: str) -> list[str]:
        from ita_pipeline.core.config import config_files

        return [name for name in (*config_files(kind), *more) if name.startswith(incomplete)]

    return complete


class PictureChoice(StrEnum):
    """The values of `--pictures`: where the thumbnails of a report are stored."""

    AUTO = "auto"
    INSIDE = "inside"
    BESIDE = "beside"
    NONE = "none"


class EngineChoice(StrEnum):
    """The values of `--engine`: where stages run."""

    LOCAL = "local"
    RAY = "ray"


Thumbnails = Annotated[
    PictureChoice, typer.Option(help="Thumbnails in the page, beside it, or none; auto: by their number.")
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
    list[str] | None,
    typer.Option("--set", metavar="STAGE.PARAMETER=VALUE", help="Change one setting. Repeatable."),
]

WorkspaceFolder = Annotated[
    Path, typer.Option("--workspace", envvar="ITA_WORKSPACE", help="Where .ita/, data/ and runs/ lie.")
]

Shared = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="ITA_SHARED",
        help="A cache that machines share, as s3://bucket/ita-cache: its records are used, and new ones put there.",
    ),
]

RetryFailed = Annotated[
    FailureChoice | None,
    typer.Option("--retry-failed", help="Try pictures again that failed before; alone it means any kind."),
]

Refresh = Annotated[
    list[str] | None,
    typer.Option("--refresh", metavar="STAGE", help="Do everything of this stage again. Repeatable."),
]

Limit = Annotated[int | None, typer.Option(min=1, help="Work on at most so many pictures.")]

ShardOf = Annotated[
    str | None,
    typer.Option("--shard", metavar="N/OF", help="One of several shares of the work, such as 3/16."),
]

Yes = Annotated[bool, typer.Option("--yes", help="Agree that posts and pictures are sent to other machines.")]

MaxRequests = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Stop knowledge after so many requests; it can be resumed.")
]

MaxTokens = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Stop knowledge before so many tokens; it can be resumed.")
]

Stages = Annotated[
    list[str] | None, typer.Option("--stage", help="Only this stage, and those it reads. Repeatable.")
]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and why, and do nothing.")]

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]

Engine = Annotated[
    EngineChoice, typer.Option(help="Where the work is done: on this machine, or in actors of a Ray cluster.")
]

Actors = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Of ray: so many actors; by default as many as fit.")
]

Gpus = Annotated[
    float | None, typer.Option("--num-gpus", min=0, metavar="F", help="Of ray: GPUs of each actor, such as 0.5.")
]

Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Of ray: the cluster, else RAY_ADDRESS, or one started here; or local."),
]

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

Alignment = Annotated[bool, typer.Option(help="Cross-view alignment; without it, train on the view I+T alone.")]

Experiment = Annotated[
    str | None,
    typer.Option(
        envvar="ITA_EXPERIMENT",
        help="Training settings: a name or a YAML file.",
        autocompletion=complete_names("experiments"),
    ),
]

Seed = Annotated[int | None, typer.Option(min=0)]

Seeds = Annotated[str, typer.Option(metavar="LIST", help="Train with each of these, such as 1,2,3: mean ± sd.")]

Views = Annotated[
    str,
    typer.Option(metavar="LIST", help="Train with each of these contexts, such as text,caption,objects,ocr,all."),
]

ReportTo = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Report updates to tensorboard, wandb, mlflow, … as well. Repeatable."),
]

CheckpointEvery = Annotated[
    int, typer.Option(min=0, metavar="UPDATES", help="Checkpoints within an epoch too; each epoch ends with one.")
]
