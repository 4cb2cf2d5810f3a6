"""Options that several commands share, alone or in groups, and the API options that are built from their values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import typer

import ita_pipeline as ita
from ita_pipeline import api
from ita_pipeline.cli.console import confirm
from ita_pipeline.core.errors import UsageError

# The values of `--retry-failed` and `--onnx`, the first of which is meant by the option alone.
FailureChoice = Literal["any", "permanent", "transient", "resource"]
GraphChoice = Literal["fp32", "int8"]
OPTIONAL_VALUES = {"--retry-failed": get_args(FailureChoice), "--onnx": get_args(GraphChoice)}


def complete_names(kind: str, *more: str) -> Callable[[str], list[str]]:
    """Create the shell completion of an option that takes a name of a configuration file."""

    def complete(incomplete: str) -> list[str]:
        from ita_pipeline.core.config import config_files

        return [name for name in (*config_files(kind), *more) if name.startswith(incomplete)]

    return complete


RunName = Annotated[
    str,
    typer.Argument(help="Run folder, exported model, name, key, DATASET, DATASET@best or DATASET@latest"),
]

Thumbnails = Annotated[
    Literal["auto", "inside", "beside", "none"],
    typer.Option(metavar="PLACE", help="Thumbnails: inside the page, beside it, none, or auto (by number)"),
]

Preset = Annotated[
    str,
    typer.Option(
        envvar="ITA_PRESET",
        metavar="NAME",
        help="Models: bundled, paper, auto, or a YAML file",
        autocompletion=complete_names("presets", "auto"),
    ),
]

Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set STAGE.PARAMETER to a value; repeatable")
]

WorkspaceFolder = Annotated[
    Path,
    typer.Option(
        "--workspace",
        metavar="FOLDER",
        envvar="ITA_WORKSPACE",
        help="Folder of .ita/, data/ and runs/",
        show_default=False,
    ),
]

Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Process at most N pictures")]

ShardOf = Annotated[
    str | None, typer.Option("--shard", metavar="N/OF", help="Process part N of OF equal parts, such as 3/16")
]

Yes = Annotated[bool, typer.Option("--yes", help="Agree to send posts and pictures to other machines")]

NewFolder = Annotated[Path, typer.Option("--to", metavar="PATH", help="File or folder to create; must not exist")]

OpenPage = Annotated[bool, typer.Option("--open", help="Open the page in the browser")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and why, without doing it")]

DryRemoval = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, without removing it")]

AgreeToRemoval = Annotated[bool, typer.Option("--yes", help="Remove without asking")]

Runtime = Annotated[
    Literal["auto", "onnx", "onnx-int8", "torch"],
    typer.Option(
        envvar="ITA_RUNTIME",
        metavar="NAME",
        help="What computes the tagger: onnx, onnx-int8, torch, or auto",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]

DatasetFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", envvar="ITA_DATA", help="Folder that contains the dataset's files"),
]

TextColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of texts in a table")]

ImageColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of pictures in a table")]

Encoder = Annotated[
    str | None,
    typer.Option(metavar="NAME", envvar="ITA_ENCODER", help="minilm, a hub model, or a folder"),
]

Captions = Annotated[
    str,
    typer.Option(metavar="FILE", envvar="ITA_CAPTIONS", help="Existing captions; auto: the dataset's; or none"),
]

Contexts = Annotated[str, typer.Option(metavar="LIST", help="Contexts to append: all, none, or caption,ocr")]

Experiment = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="ITA_EXPERIMENT",
        help="Training settings: name or YAML file",
        autocompletion=complete_names("experiments"),
    ),
]


class OptionGroup:
    """Base class of options that commands declare together; see `expand_groups`."""


@dataclass(frozen=True)
class StageSelection(OptionGroup):
    """Which stages run, and with which settings."""

    preset: Preset = "auto"
    stages: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="NAME", help="Only this stage and its inputs; repeatable"),
    ] = None
    assignments: Assignments = None


@dataclass(frozen=True)
class CacheLocation(OptionGroup):
    """Which caches are used."""

    workspace: WorkspaceFolder = Path()
    shared: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="ITA_SHARED",
            help="Shared cache to use and extend",
        ),
    ] = ""


@dataclass(frozen=True)
class Repetition(OptionGroup):
    """Which cached results are computed again."""

    retry_failed: Annotated[
        FailureChoice | None,
        typer.Option(
            "--retry-failed", metavar="[KIND]", help="Retry failures: any, permanent, transient, resource"
        ),
    ] = None
    refresh: Annotated[
        list[str] | None,
        typer.Option("--refresh", metavar="STAGE", help="Recompute this stage for every picture; repeatable"),
    ] = None


@dataclass(frozen=True)
class Sending(OptionGroup):
    """What may be sent to other machines."""

    max_requests: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Stop the stage knowledge after N requests"),
    ] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Stop the stage knowledge before N tokens"),
    ] = None
    consent: Yes = False


@dataclass(frozen=True)
class Cluster(OptionGroup):
    """The machines that do the work."""

    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Run on this machine, or in actors of a Ray cluster"),
    ] = "local"
    actors: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of Ray actors; by default as many as fit")
    ] = None
    num_gpus: Annotated[
        float | None,
        typer.Option("--num-gpus", min=0, metavar="N", help="GPUs for each Ray actor, such as 0.5"),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster; by default RAY_ADDRESS, or else a new local one"),
    ] = None

    def ray_pool(self) -> ita.RayPool | None:
        """Return the Ray cluster, or None for this machine.

        Raises:
            UsageError: options of Ray are given without it.
        """
        if self.engine == "ray":
            return ita.RayPool(self.actors, self.num_gpus or 0.0, self.address)
        for name, value in (("actors", self.actors), ("num-gpus", self.num_gpus), ("address", self.address)):
            if value is not None:
                raise UsageError(f"--{name} requires --engine ray", "--engine ray")
        return None


@dataclass(frozen=True)
class TrainingSettings(OptionGroup):
    """The inputs of a training beside its posts."""

    encoder: Encoder = None
    captions: Captions = "auto"
    contexts: Contexts = "all"
    alignment: Annotated[
        bool, typer.Option(help="Align the views T and I+T; without it, train on I+T alone (default: on)")
    ] = True
    experiment: Experiment = None
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Random seed of the training")] = None


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter that is an `OptionGroup` by the options of the group, which Typer understands."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    types = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        declared = types[parameter.name]
        if isinstance(declared, type) and issubclass(declared, OptionGroup):
            groups[parameter.name] = declared
            parameters += inspect.signature(declared, eval_str=True).parameters.values()
        else:
            parameters.append(parameter.replace(annotation=declared))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def build_options(*groups: OptionGroup, **values: Any) -> ita.Options:
    """Build the options of the Python API from groups and single values, which have the names of its fields.

    Raises:
        UsageError: a setting or a value is impossible.
    """
    from ita_pipeline.core.config_layers import merge_sections, read_layers

    for group in groups:
        values |= vars(group)
    assignments = [*(values.pop("assignments", None) or ())]
    for name in ("max_requests", "max_tokens"):
        budget = values.pop(name, None)
        if budget is not None:
            assignments.append(f"knowledge.{name}={budget}")
    retry, shard = values.pop("retry_failed", None), values.pop("shard", None)
    layers = read_layers()
    return ita.Options(
        assignments=tuple(assignments),
        base=merge_sections(layers),
        own=merge_sections([layer for layer in layers if layer.is_own]),
        stages=tuple(values.pop("stages", None) or ()),
        retry_failed=tuple(kind for kind in api.extract.FailureKind if retry in ("any", kind)),
        refresh=tuple(values.pop("refresh", None) or ()),
        shard=None if shard is None else api.extract.Shard.parse(shard),
        confirm=confirm,
        **values,
    )


def build_training(data: Path | None, settings: TrainingSettings | None = None, **values: Any) -> ita.TrainOptions:
    """Build the training options of the Python API; `stages`, if given, take the place of `contexts`."""
    values |= vars(settings) if settings else {}
    contexts, stages = values.pop("contexts"), values.pop("stages", None)
    values["objective"] = "aligned" if values.pop("alignment", True) else "none"
    if stages or contexts != "all":
        names = () if contexts == "none" else filter(None, contexts.split(","))
        values["contexts"] = tuple(stages or names)
    return ita.TrainOptions(data, **values)


def complete_values(arguments: Sequence[str]) -> list[str]:
    """Add the first value to each `--retry-failed` and `--onnx` without a value, since Typer requires one."""
    completed: list[str] = []
    for argument, after in zip_longest(arguments, arguments[1:]):
        completed.append(argument)
        if argument in OPTIONAL_VALUES and after not in OPTIONAL_VALUES[argument]:
            completed.append(OPTIONAL_VALUES[argument][0])
    return completed
