"""Options that several commands declare together, and the API options that are built from their values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import typer

from ita_pipeline.cli.console import confirm
from ita_pipeline.cli.options import (
    Assignments,
    Captions,
    Contexts,
    Encoder,
    Experiment,
    Preset,
    WorkspaceFolder,
    Yes,
)
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline import Options, RayPool, TrainOptions
    from ita_pipeline.api.options import FailureKind


# The values of `--retry-failed`.
FailureChoice = Literal["any", "permanent", "transient", "resource"]


class OptionGroup:
    """Base class of options that commands declare together; see `expand_groups`."""


@dataclass(frozen=True)
class StageSelection(OptionGroup):
    """Which stages run, and with which settings."""

    preset: Preset = "auto"
    stage: Annotated[
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
    yes: Yes = False


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


def build_options(*groups: OptionGroup, **values: Any) -> Options:
    """Build the options of the Python API from groups of parsed values and single ones, by their parameters' names.

    Raises:
        UsageError: a setting or a value is impossible, or options of Ray are given without it.
    """
    from ita_pipeline.api.options import Options, Shard
    from ita_pipeline.core.config_layers import merge_sections, read_layers

    for group in groups:
        values |= vars(group)
    assignments: list[str] = list(values.pop("assignments", None) or ())
    for name in ("max_requests", "max_tokens"):
        budget = values.pop(name, None)
        if budget is not None:
            assignments.append(f"knowledge.{name}={budget}")
    shard = values.pop("shard", None)
    cluster = Cluster(**{field.name: values.pop(field.name) for field in fields(Cluster) if field.name in values})
    return Options(
        stages=tuple(values.pop("stage", None) or ()),
        assignments=tuple(assignments),
        base=merge_sections(read_layers()),
        retry_failed=_failure_kinds(values.pop("retry_failed", None)),
        refresh=tuple(values.pop("refresh", None) or ()),
        shard=None if shard is None else Shard.parse(shard),
        consent=values.pop("yes", False),
        confirm=confirm,
        ray=_ray_pool(cluster),
        **values,
    )


def build_training(data: Path | None, *groups: TrainingSettings, **values: Any) -> TrainOptions:
    """Build the training options of the Python API; `stage`, if given, takes the place of `contexts`."""
    from ita_pipeline import TrainOptions

    for group in groups:
        values |= vars(group)
    contexts, stage = values.pop("contexts", "all"), values.pop("stage", None)
    return TrainOptions(data, contexts=_context_names(contexts, stage), **values)


def _ray_pool(cluster: Cluster) -> RayPool | None:
    from ita_pipeline import RayPool

    if cluster.engine == "ray":
        return RayPool(cluster.actors, cluster.num_gpus or 0.0, cluster.address)
    flags = {"--actors": cluster.actors, "--num-gpus": cluster.num_gpus, "--address": cluster.address}
    for name, value in flags.items():
        if value is not None:
            raise UsageError(f"{name} belongs to --engine ray", "--engine ray")
    return None


def _failure_kinds(choice: FailureChoice | None) -> tuple[FailureKind, ...]:
    from ita_pipeline.api.options import FailureKind

    if choice is None:
        return ()
    return tuple(FailureKind) if choice == "any" else (FailureKind(choice),)


def _context_names(contexts: str, stages: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of the contexts, or None for all contexts of the preset."""
    if stages:
        return tuple(stages)
    if contexts == "all":
        return None
    return () if contexts == "none" else tuple(filter(None, contexts.split(",")))


def complete_retry_failed(arguments: Sequence[str]) -> list[str]:
    """Add `any` to each `--retry-failed` without a value, since Typer requires one."""
    following = [*arguments[1:], ""][: len(arguments)]
    completed: list[str] = []
    for argument, after in zip(arguments, following, strict=True):
        completed.append(argument)
        if argument == "--retry-failed" and after not in get_args(FailureChoice):
            completed.append("any")
    return completed
