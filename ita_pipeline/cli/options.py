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

# The values of `--retry-failed`.
FailureChoice = Literal["any", "permanent", "transient", "resource"]


def complete_names(kind: str, *more: str) -> Callable[[str], list[str]]:
    """Create the shell completion of an option that takes a name of a configuration file."""

    def complete(incomplete: str) -> list[str]:
        from ita_pipeline.core.config import config_files

        return [name for name in (*config_files(kind), *more) if name.startswith(incomplete)]

    return complete


RunName = Annotated[str, typer.Argument(help="A run's folder, or a dataset's name if it has one run.")]

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

NewFolder = Annotated[Path, typer.Option("--to", help="Where to write; must not be there yet.")]

OpenPage = Annotated[bool, typer.Option("--open", help="Show the page in the browser.")]

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


class OptionGroup:
    """Base class of options that commands declare together; see `expand_groups`."""


@dataclass(frozen=True)
class StageSelection(OptionGroup):
    """Which stages run, and with which settings."""

    preset: Preset = "auto"
    stages: Annotated[
        list[str] | None, typer.Option("--stage", help="Only this stage, and those it reads. Repeatable.")
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
            help="A cache that machines share, as s3://bucket/ita-cache: "
            "its records are used, and new ones put there.",
        ),
    ] = ""


@dataclass(frozen=True)
class Repetition(OptionGroup):
    """Which cached results are computed again."""

    retry_failed: Annotated[
        FailureChoice | None,
        typer.Option("--retry-failed", help="Try pictures again that failed before; alone it means any kind."),
    ] = None
    refresh: Annotated[
        list[str] | None,
        typer.Option("--refresh", metavar="STAGE", help="Do everything of this stage again. Repeatable."),
    ] = None


@dataclass(frozen=True)
class Sending(OptionGroup):
    """What may be sent to other machines."""

    max_requests: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Stop knowledge after so many requests; it can be resumed."),
    ] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Stop knowledge before so many tokens; it can be resumed."),
    ] = None
    consent: Yes = False


@dataclass(frozen=True)
class Cluster(OptionGroup):
    """The machines that do the work."""

    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="Where the work is done: on this machine, or in actors of a Ray cluster."),
    ] = "local"
    actors: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of ray: so many actors; by default as many as fit.")
    ] = None
    num_gpus: Annotated[
        float | None,
        typer.Option("--num-gpus", min=0, metavar="F", help="Of ray: GPUs of each actor, such as 0.5."),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Of ray: the cluster, else RAY_ADDRESS, or one started here; or local."
        ),
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
                raise UsageError(f"--{name} belongs to --engine ray", "--engine ray")
        return None


@dataclass(frozen=True)
class TrainingSettings(OptionGroup):
    """The inputs of a training beside its posts."""

    encoder: Encoder = None
    captions: Captions = "auto"
    contexts: Contexts = "all"
    alignment: Annotated[
        bool, typer.Option(help="Cross-view alignment; without it, train on the view I+T alone.")
    ] = True
    experiment: Experiment = None
    seed: Annotated[int | None, typer.Option(min=0)] = None


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
    return ita.Options(
        assignments=tuple(assignments),
        base=merge_sections(read_layers()),
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
    if stages or contexts != "all":
        names = () if contexts == "none" else filter(None, contexts.split(","))
        values["contexts"] = tuple(stages or names)
    return ita.TrainOptions(data, **values)


def complete_retry_failed(arguments: Sequence[str]) -> list[str]:
    """Add `any` to each `--retry-failed` without a value, since Typer requires one."""
    completed: list[str] = []
    for argument, after in zip_longest(arguments, arguments[1:]):
        completed.append(argument)
        if argument == "--retry-failed" and after not in get_args(FailureChoice):
            completed.append("any")
    return completed
