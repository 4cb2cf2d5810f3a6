"""Options that several commands declare together, and the API options that are built from their values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ita_pipeline.cli.console import confirm
from ita_pipeline.cli.options import (
    Actors,
    Address,
    Alignment,
    Assignments,
    Captions,
    Contexts,
    Encoder,
    Engine,
    EngineChoice,
    Experiment,
    FailureChoice,
    Gpus,
    MaxRequests,
    MaxTokens,
    Preset,
    Refresh,
    RetryFailed,
    Seed,
    Shared,
    Stages,
    WorkspaceFolder,
    Yes,
)
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline import Options, RayPool, TrainOptions
    from ita_pipeline.api.options import FailureKind


class OptionGroup:
    """Base class of options that commands declare together; see `expand_groups`."""


@dataclass(frozen=True)
class StageSelection(OptionGroup):
    """Which stages run, and with which settings."""

    preset: Preset = "auto"
    stage: Stages = None
    assignments: Assignments = None


@dataclass(frozen=True)
class CacheLocation(OptionGroup):
    """Which caches are used."""

    workspace: WorkspaceFolder = Path()
    shared: Shared = ""


@dataclass(frozen=True)
class Repetition(OptionGroup):
    """Which cached results are computed again."""

    retry_failed: RetryFailed = None
    refresh: Refresh = None


@dataclass(frozen=True)
class Sending(OptionGroup):
    """What may be sent to other machines."""

    max_requests: MaxRequests = None
    max_tokens: MaxTokens = None
    yes: Yes = False


@dataclass(frozen=True)
class Cluster(OptionGroup):
    """The machines that do the work."""

    engine: Engine = EngineChoice.LOCAL
    actors: Actors = None
    num_gpus: Gpus = None
    address: Address = None


@dataclass(frozen=True)
class TrainingSettings(OptionGroup):
    """The inputs of a training beside its posts."""

    encoder: Encoder = None
    captions: Captions = "auto"
    contexts: Contexts = "all"
    alignment: Alignment = True
    experiment: Experiment = None
    seed: Seed = None


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
    for group in groups:
        values |= vars(group)
    return _build_options(**values)


def _build_options(
    *,
    preset: str = "auto",
    stage: Sequence[str] | None = None,
    assignments: Sequence[str] | None = None,
    workspace: Path = Path(),
    shared: str = "",
    retry_failed: FailureChoice | None = None,
    refresh: Sequence[str] | None = None,
    limit: int | None = None,
    shard: str | None = None,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    yes: bool = False,
    engine: EngineChoice = EngineChoice.LOCAL,
    actors: int | None = None,
    num_gpus: float | None = None,
    address: str | None = None,
) -> Options:
    from ita_pipeline.api.options import Options, Shard
    from ita_pipeline.core.config_layers import merge_sections, read_layers

    budget = {"max_requests": max_requests, "max_tokens": max_tokens}
    budget_assignments = [f"knowledge.{name}={limit}" for name, limit in budget.items() if limit is not None]
    return Options(
        preset=preset,
        stages=tuple(stage or ()),
        assignments=(*(assignments or ()), *budget_assignments),
        base=merge_sections(read_layers()),
        workspace=workspace,
        shared=shared,
        retry_failed=_failure_kinds(retry_failed),
        refresh=tuple(refresh or ()),
        limit=limit,
        shard=None if shard is None else Shard.parse(shard),
        consent=yes,
        confirm=confirm,
        ray=_ray_pool(engine, actors, num_gpus, address),
    )


def build_training(data: Path | None, *groups: TrainingSettings, **values: Any) -> TrainOptions:
    """Build the training options of the Python API; `stage`, if given, takes the place of `contexts`."""
    from ita_pipeline import TrainOptions

    for group in groups:
        values |= vars(group)
    contexts, stage = values.pop("contexts", "all"), values.pop("stage", None)
    return TrainOptions(data, contexts=_context_names(contexts, stage), **values)


def _ray_pool(engine: EngineChoice, actors: int | None, gpus: float | None, address: str | None) -> RayPool | None:
    from ita_pipeline.api.options import RayPool

    if engine is EngineChoice.RAY:
        return RayPool(actors, gpus or 0.0, address)
    for name, value in {"--actors": actors, "--num-gpus": gpus, "--address": address}.items():
        if value is not None:
            raise UsageError(f"{name} belongs to --engine ray", "--engine ray")
    return None


def _failure_kinds(choice: FailureChoice | None) -> tuple[FailureKind, ...]:
    from ita_pipeline.api.options import FailureKind

    if choice is None:
        return ()
    return tuple(FailureKind) if choice is FailureChoice.ANY else (FailureKind(choice),)


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
        if argument == "--retry-failed" and after not in list(FailureChoice):
            completed.append(FailureChoice.ANY)
    return completed
