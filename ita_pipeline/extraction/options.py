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


@dataclass(frozen=True, slots=True)
class Options:
    """The options of every command that runs stages.

    `retry_failed` are the kinds of failures to try again, `refresh` the stages that process everything again, and
    `limit` the maximum number of pictures to process. `base` are settings by section, as from a file, which
    `assignments` override. A section that no stage reads is ignored in `base`, but an error in `assignments`.

    `consent` allows stages to send posts and pictures to other machines; without it, `confirm` answers their
    questions with yes or no. With `ray`, `extract` and `predict` run in actors of a Ray cluster. `shared` is the
    address of a cache that machines share, such as `s3://bucket/ita-cache`: records are read from it, and new
    records are uploaded to it. With a `shard`, only its pictures and posts are processed.
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
    confirm: Callable[[str], bool] | None = None

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """The settings by section: `base`, overridden by the assignments.

        Raises:
            UsageError: an assignment is invalid.
        """
        return merge_settings(self.base, parse_assignments(self.assignments))

    @property
    def plan_options(self) -> PlanOptions:
        """The options of the planner."""
        return PlanOptions(frozenset(self.retry_failed), frozenset(self.refresh), self.limit)

    @property
    def limits(self) -> Limits:
        """The limits for one image.

        Raises:
            UsageError: a setting of `limits` is invalid.
        """
        return parse_config(Limits, self.changes.get("limits", {}), "limits")


def resolve_preset(options: Options, also: Sequence[str] = (), contexts: Sequence[str] = ()) -> PresetChoice:
    """The preset with changed settings; `also` names sections that are not settings of stages.

    Plugin stages that `--stage`, the order of the contexts or `contexts` names are added.

    Raises:
        UsageError: `--set`, `--refresh` or the order of the contexts names a stage that is not in the preset.
    """
    choice = choose_preset(options.preset)
    order = apply_changes(choice.preset, {"contexts": options.changes.get("contexts", {})}).contexts.order
    preset = add_plugin_stages(choice.preset, (*options.stages, *order, *contexts))
    stages = list({**preset.stages, **dict.fromkeys(OPTIONAL_STAGES)})
    known = [*stages, "contexts", "limits", *also]
    for name in order:
        if name not in (*CONTEXTS, *stages):
            known_contexts = ", ".join([*CONTEXTS, *list_plugin_stages()])
            hint = nearest(name, [*CONTEXTS, *stages]) or f"known are {known_contexts}"
            raise UsageError(f"contexts.order names {name}, which is no context", hint)
    named = [("--set", name, known) for name in parse_assignments(options.assignments)]
    for option, name, possible in named + [("--refresh", name, stages) for name in options.refresh]:
        if name not in possible:
            message = f"{option} names {name}, which is no stage of preset {preset.name}"
            raise UsageError(message, _suggest_stage(name, possible))
    return replace(choice, preset=apply_changes(preset, options.changes))


def _suggest_stage(name: str, possible: Sequence[str]) -> str:
    """How to add a stage that is installed, else the nearest name."""
    if name in list_plugin_stages():
        return f"name it: --stage {name}, or in contexts.order, as docs/own-stage.md shows"
    return nearest(name, possible) or f"known are {', '.join(possible)}"
