"""What looking after the cache must know of stages: which keys are wanted now, what their values look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ita_pipeline.cache.archive import Imported, import_archive
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import stage_keys
from ita_pipeline.consent import allow_sending
from ita_pipeline.engines.isolation import Worker
from ita_pipeline.options import Listener, Mute, Options, chosen
from ita_pipeline.presets import build_stages, installed_stages
from ita_pipeline.recomputation import Recomputed
from ita_pipeline.recomputation import recompute as do_again
from ita_pipeline.workspace import Workspace


def current_keys(options: Options | None = None, listener: Listener | None = None) -> dict[str, StageKey]:
    """The key of each stage that `extract` would work under now.

    Raises:
        UserError: a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options, heard = options or Options(), listener or Mute()
    choice = chosen(options)
    heard.say(choice.why)
    return stage_keys(build_stages(choice.preset, options.stages))


def recompute(
    count: int, options: Options | None = None, seed: int = 0, listener: Listener | None = None
) -> Sequence[Recomputed]:
    """Do `count` pictures of each stage again, chosen at random from those that are cached, and compare.

    Nothing is written: this measures how far a stage gives the same for the same picture on this machine.

    Raises:
        UserError: a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options, heard = options or Options(), listener or Mute()
    choice = chosen(options)
    heard.say(choice.why)
    stages = build_stages(choice.preset, options.stages)
    for stage in stages:
        allow_sending(stage, f"up to {count}", options.consent, heard)
    with Worker(options.limits) as hands:
        return list(do_again(stages, Workspace(options.workspace).store, hands, heard, count, seed))


def import_cache(file: Path | str, workspace: Path = Path()) -> list[Imported]:
    """Merge an archive that `ita cache export` made into the cache of a workspace; nothing that is there changes.

    Raises:
        UsageError: there is no such file, or it is not a sound archive of a cache.
    """
    return import_archive(Workspace(workspace).store, Path(file), installed_stages())
