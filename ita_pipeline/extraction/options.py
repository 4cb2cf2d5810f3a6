"""The options of every command that runs stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import PlanOptions
from ita_pipeline.core.config import merge_settings, parse_assignments, parse_config
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.corpus.contexts import CONTEXTS
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.ray.cluster import RayPool
from ita_pipeline.extraction.presets import (
    AUTO,
    OPTIONAL_STAGES,
    PresetChoice,
    add_plugin_stages,
    apply_changes,
    choose_preset,
    list_plugin_stages,
)
from ita_pipeline.extraction.shard import Shard
from stages.base import FailureKind


def decline(question: str) -> bool:
    """Answer no to any question."""
    return False


@dataclass(frozen=True, slots=True)
class Options:
    """What every command that runs stages understands.

    `retry_failed` are the kinds of failures to try again, `refresh` the stages that do everything again, `limit`
    the most pictures to work on. `base` are settings by section that `assignments` go over, as from a file; one
    for a section that nobody reads is left alone, while an assignment to it is an error. With `consent` somebody
    agreed that posts and pictures are sent to other machines, where a stage does that; else `confirm` is asked,
    which answers a question with yes or no. With `ray`, `extract` and `predict` work in actors of a Ray cluster.
    `shared` is the address of a cache that machines share, such as `s3://bucket/ita-cache`: its records are used,
    and what is computed is put there. Of pictures and posts only those of the `shard` are looked at, where there
    is one.
    """

    preset: str = AUTO
    stages: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    workspace: Path = Path()
    retry_failed: tuple[FailureKind, ...] = ()
    refresh: tuple[str, ...] = ()
    limit: int | None = None
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    consent: bool = False
    ray: RayPool | None = None
    shared: str = ""
    shard: Shard | None = None
    confirm: Callable[[str], bool] = decline

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """What is set by section: `base`, and over it the assignments.

        Raises:
            UsageError: an assignment is none.
        """
        return merge_settings(self.base, parse_assignments(self.assignments))

    @property
    def wishes(self) -> PlanOptions:
        return PlanOptions(frozenset(self.retry_failed), frozenset(self.refresh), self.limit)

    @property
    def limits(self) -> Limits:
        """
        Raises:
            UsageError: `--set limits.…` asks for what cannot be.
        """
        return parse_config(Limits, self.changes.get("limits", {}), "limits")


def chosen(options: Options, also: Sequence[str] = (), contexts: Sequence[str] = ()) -> PresetChoice:
    """The preset with `--set` applied; `also` names sections that somebody else will read.

    A stage of somebody else's is added where `--stage`, the order of the contexts or `contexts` names it.

    Raises:
        UsageError: `--set`, `--refresh` or the order of the contexts names a stage that the preset has not.
    """
    choice = choose_preset(options.preset)
    order = apply_changes(choice.preset, {"contexts": options.changes.get("contexts", {})}).contexts.order
    preset = add_plugin_stages(choice.preset, (*options.stages, *order, *contexts))
    stages = list({**preset.stages, **dict.fromkeys(OPTIONAL_STAGES)})
    known = [*stages, "contexts", "limits", *also]
    for name in order:
        if name not in (*CONTEXTS, *stages):
            hint = (
                nearest(name, [*CONTEXTS, *stages]) or f"known are {', '.join([*CONTEXTS, *list_plugin_stages()])}"
            )
            raise UsageError(f"contexts.order names {name}, which is no context", hint)
    named = [("--set", name, known) for name in parse_assignments(options.assignments)]
    for option, name, possible in named + [("--refresh", name, stages) for name in options.refresh]:
        if name not in possible:
            raise UsageError(
                f"{option} names {name}, which is no stage of preset {preset.name}", mending(name, possible)
            )
    return replace(choice, preset=apply_changes(preset, options.changes))


def mending(name: str, possible: Sequence[str]) -> str:
    """What makes a stage's name possible where it is installed, and else the nearest."""
    if name in list_plugin_stages():
        return f"name it: --stage {name}, or in contexts.order, as docs/own-stage.md shows"
    return nearest(name, possible) or f"known are {', '.join(possible)}"
