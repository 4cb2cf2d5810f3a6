"""Presets: which models are used together, which of them `auto` means here and why, and their stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ita_pipeline.corpus.contexts import ContextConfig, stage_names
from ita_pipeline.errors import UsageError, nearest
from ita_pipeline.settings import checked, find_config, merged, read_yaml
from stages.base import Frozen, Stage, StageConfig, StageError

AUTO = "auto"
# Stages that are in no preset of ours, and join one as soon as somebody sets something of theirs.
OPTIONAL = ("knowledge",)


class Preset(Frozen):
    """Which models the stages use, how their results are rendered, and which encoder reads them.

    `recipe` chooses among the experiments of a dataset the one whose settings suit the encoder.
    """

    name: str
    about: str
    encoder: str
    recipe: str = "paper"
    stages: Mapping[str, Mapping[str, Any]]
    contexts: ContextConfig = ContextConfig()


@dataclass(frozen=True, slots=True)
class Choice:
    """A preset and the sentence that explains it."""

    preset: Preset
    why: str


def load_preset(name: str) -> Preset:
    file = find_config("presets", name)
    return checked(Preset, {"name": file.stem, **read_yaml(file)}, file.name)


def with_changes(preset: Preset, changes: Mapping[str, Mapping[str, Any]]) -> Preset:
    """A preset with `--set` applied to its stages and contexts."""
    stages = dict(preset.stages)
    for section, values in changes.items():
        if section in stages or (section in OPTIONAL and values):
            stages[section] = merged(stages.get(section, {}), values)
    contexts = merged(preset.contexts.model_dump(), changes.get("contexts", {}))
    return checked(Preset, {**preset.model_dump(), "stages": stages, "contexts": contexts}, f"preset {preset.name}")


def choose(name: str) -> Choice:
    """The preset of a name; `auto` is `paper` where its weights can be had, else `bundled`."""
    if name != AUTO:
        return Choice(load_preset(name), f"preset {name}: asked for")
    paper = load_preset("paper")
    missing = unavailable(paper)
    if missing is None:
        return Choice(paper, "preset paper: its models are on this machine, or the hub answers")
    why = f"preset bundled: {missing} (--preset paper insists)"
    return Choice(load_preset("bundled"), why)


def unavailable(preset: Preset) -> str | None:
    """Why a preset's models cannot be had, or nothing where they can."""
    from stages import hub

    for model in hub_models(preset):
        try:
            hub.identify(model)
        except StageError as error:
            return str(error)
    return None


def hub_models(preset: Preset) -> list[str]:
    """The models of a preset that a hub would have to give, the encoder first."""
    names = [preset.encoder]
    for settings in preset.stages.values():
        names += [str(settings[part]) for part in ("model", "detector", "attributes") if part in settings]
    return [name for name in names if "/" in name]


def build_stages(preset: Preset, only: Sequence[str] = ()) -> list[Stage[Any]]:
    """The stages of a preset, or those named and the ones they read.

    Raises:
        UsageError: an unknown stage or an impossible setting.
    """
    for name in only:
        if name not in preset.stages:
            hint = nearest(name, preset.stages) or f"known are {', '.join(sorted(preset.stages))}"
            raise UsageError(f"preset {preset.name} has no stage {name}", hint)
    built = {name: build(name, settings) for name, settings in preset.stages.items()}
    wanted = set(only or built)
    while more := {read for name in wanted for read in built[name].reads} - wanted:
        wanted |= more
    return [stage for name, stage in built.items() if name in wanted]


def context_stages(preset: Preset, config: ContextConfig) -> list[Stage[Any]]:
    """The stages that find these contexts; one that joins a preset only when it is asked for may be missing.

    Raises:
        UsageError: an impossible setting.
    """
    names = [name for name in stage_names(config.order) if name in preset.stages or name not in OPTIONAL]
    return build_stages(preset, names) if names else []


def build(name: str, settings: Mapping[str, Any]) -> Stage[Any]:
    known = known_stages()
    if name not in known:
        hint = nearest(name, known) or f"installed are {', '.join(sorted(known))}"
        raise UsageError(f"there is no stage {name}", hint)
    stage = load_stage(known[name])
    config: StageConfig = checked(stage.config_type, settings, f"stage {name}")
    return stage(config)


def load_stage(entry: EntryPoint) -> type[Stage[Any]]:
    """
    Raises:
        StageError: its module cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:
        raise StageError(f"the stage {entry.name} ({entry.value}) cannot be loaded: {error}") from error


def installed_stages() -> dict[str, type[Stage[Any]]]:
    """The classes of all installed stages, by name."""
    return {name: load_stage(entry) for name, entry in known_stages().items()}


def known_stages() -> dict[str, EntryPoint]:
    """Every installed stage by name; ours come in by the same door as anybody's."""
    return {entry.name: entry for entry in entry_points(group="ita.stages")}
