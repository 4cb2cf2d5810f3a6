"""Presets: which models are used together, which of them `auto` means here and why, and their stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from ita_pipeline.core.config import find_config, merge_settings, parse_config, read_yaml
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.plugins import package_names, stage_entry_points
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig, stage_names
from stages.base import Frozen, Stage, StageConfig, StageError, Value

AUTO = "auto"

# Stages that are in no preset of ours, and join one as soon as somebody sets something of theirs.
OPTIONAL = ("knowledge",)


# Reads a file that must be named, so it is nothing to add by its name.
EXTERNAL = "external"


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
    return parse_config(Preset, {"name": file.stem, **read_yaml(file)}, file.name)


def apply_changes(preset: Preset, changes: Mapping[str, Mapping[str, Any]]) -> Preset:
    """A preset with `--set` applied to its stages and contexts."""
    stages = dict(preset.stages)
    for section, values in changes.items():
        if section in stages or (section in OPTIONAL and values):
            stages[section] = merge_settings(stages.get(section, {}), values)
    contexts = merge_settings(preset.contexts.model_dump(), changes.get("contexts", {}))
    return parse_config(
        Preset, {**preset.model_dump(), "stages": stages, "contexts": contexts}, f"preset {preset.name}"
    )


def add_plugin_stages(preset: Preset, names: Iterable[str]) -> Preset:
    """A preset with those of the named stages that are somebody else's and installed, in their default settings.

    So a stage takes part as soon as a context's order, `--stage` or `--contexts` names it.
    """
    added = {name: {} for name in names if name in list_plugin_stages() and name not in preset.stages}
    return preset.model_copy(update={"stages": {**preset.stages, **added}}) if added else preset


def list_plugin_stages() -> list[str]:
    """The installed stages that are not ours."""
    return [name for name in stage_entry_points() if name not in (*CONTEXTS, EXTERNAL)]


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
    from stages.models.identity import identify

    for model in list_hub_models(preset):
        try:
            identify(model)
        except StageError as error:
            return str(error)
    return None


def list_hub_models(preset: Preset) -> list[str]:
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
        if lacking := more - set(built):
            reader = next(name for name in wanted if set(built[name].reads) & lacking)
            raise UsageError(
                f"the stage {reader} reads {min(lacking)}, which preset {preset.name} does not have",
                f"add it below stages: in the preset's file, or name it too: --stage {min(lacking)}",
            )
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
    known = stage_entry_points()
    if name not in known:
        hint = nearest(name, known) or f"install the package it comes in; installed are {', '.join(sorted(known))}"
        raise UsageError(f"there is no stage {name}", hint)
    stage = load_stage(known[name])
    config: StageConfig = parse_config(stage.config_type, settings, f"stage {name}")
    return stage(config)


def load_stage(entry: EntryPoint) -> type[Stage[Any]]:
    """
    Raises:
        StageError: its module cannot be imported, or what it names is no stage.
    """
    try:
        found = entry.load()
    except Exception as error:
        hint = f"mend or remove the package {package_names(entry)}" if package_names(entry) else ""
        raise StageError(f"the stage {entry.name} ({entry.value}) cannot be loaded: {error}", hint) from error
    wrong = fault(found, entry.name)
    if wrong:
        raise StageError(
            f"the stage {entry.name} ({entry.value}) {wrong}", "its author can mend that; see docs/own-stage.md"
        )
    return found


def fault(found: Any, name: str) -> str:
    """What keeps a class from being the stage of this name, or nothing."""
    if not (isinstance(found, type) and issubclass(found, Stage)):
        return "is no subclass of stages.base.Stage"
    declared = {"name": str, "version": int, "config_type": type, "value_type": type}
    for attribute, kind in declared.items():
        if not isinstance(getattr(found, attribute, None), kind):
            return f"does not declare its {attribute}"
    if not issubclass(found.config_type, StageConfig):
        return "has a config_type that is no StageConfig"
    if not issubclass(found.value_type, Value):
        return "has a value_type that is no Value"
    return "" if found.name == name else f"calls itself {found.name}, and its entry point {name}"


def load_installed_stages() -> dict[str, type[Stage[Any]]]:
    """The classes of all installed stages, by name."""
    return {name: load_stage(entry) for name, entry in stage_entry_points().items()}
