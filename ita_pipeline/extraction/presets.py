"""Presets: which models are used together, how `auto` chooses between presets, and how their stages are built."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import Any

from ita_pipeline.core.config import merge_settings, parse_assignments, parse_config, read_yaml
from ita_pipeline.core.config_layers import find_named_config, option_origin
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.plugins import REPORT_STAGE, package_names, stage_entry_points
from ita_pipeline.core.trust import explain_ignored, without_personal
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig, stage_names
from ita_pipeline.extraction.options import AUTO, Options
from stages.base import Frozen, Stage, StageConfig, StageError, Value
from stages.languages import load_words

logger = logging.getLogger(__name__)

# Built-in stages that belong to no preset, and join one as soon as one of their settings is set.
OPTIONAL_STAGES = ("knowledge",)

# Reads a file that must be named, so it cannot be added by its name.
EXTERNAL = "external"


class Preset(Frozen):
    """The settings of the stages and of the contexts, and the encoder that reads the contexts.

    `recipe` selects the experiment of a dataset whose settings suit the encoder.
    """

    name: str
    about: str
    encoder: str
    recipe: str = "paper"
    stages: Mapping[str, Mapping[str, Any]]
    contexts: ContextConfig = ContextConfig()


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset and the sentence that explains why it was chosen."""

    preset: Preset
    why: str


def load_preset(name: str) -> Preset:
    """Read the file of a preset. Settings that only the user can give are ignored, with a warning."""
    file = find_named_config("preset", name)
    preset = parse_config(Preset, {"name": file.stem, **read_yaml(file)}, file)
    return preset.model_copy(update={"stages": drop_personal(preset.stages, str(file))})


def drop_personal(stages: Mapping[str, Mapping[str, Any]], origin: str) -> dict[str, dict[str, Any]]:
    """Settings of stages without those that only the user can give; a warning says what is ignored."""
    for message, hint in explain_ignored(stages, origin).values():
        logger.warning(f"{message}; {hint}")
    return without_personal(stages)


def apply_changes(preset: Preset, changes: Mapping[str, Mapping[str, Any]]) -> Preset:
    """A preset with changed settings of its stages and contexts, as from `--set`."""
    stages = dict(preset.stages)
    for section, values in changes.items():
        if section in stages or (section in OPTIONAL_STAGES and values):
            stages[section] = merge_settings(stages.get(section, {}), values)
    contexts = merge_settings(preset.contexts.model_dump(), changes.get("contexts", {}))
    values = {**preset.model_dump(), "stages": stages, "contexts": contexts}
    return parse_config(Preset, values, f"preset {preset.name}")


def add_language(preset: Preset, language: str) -> Preset:
    """A preset whose contexts, captions and prompts are in a dataset's language, unless its settings name another.

    Nothing changes for a language without words (see `stages.languages`).
    """
    if not load_words(language):
        return preset
    entry_points = stage_entry_points()
    stages = {
        name: {"language": language, **settings}
        if name in entry_points and "language" in load_stage(entry_points[name]).config_type.model_fields
        else settings
        for name, settings in preset.stages.items()
    }
    contexts = preset.contexts.model_copy(update={"language": preset.contexts.language or language})
    return preset.model_copy(update={"stages": stages, "contexts": contexts})


def add_plugin_stages(preset: Preset, names: Iterable[str]) -> Preset:
    """A preset with those of the named stages that plugins install, in their default settings.

    So a stage takes part as soon as the order of the contexts, `--stage` or `--contexts` names it.
    """
    added = {name: {} for name in names if name in list_plugin_stages() and name not in preset.stages}
    return preset.model_copy(update={"stages": {**preset.stages, **added}}) if added else preset


def list_plugin_stages() -> list[str]:
    """The installed stages that are not built in."""
    return [name for name in stage_entry_points() if name not in (*CONTEXTS, EXTERNAL)]


def choose_preset(name: str) -> PresetChoice:
    """The preset of a name; `auto` is `paper` if all its models are available, else `bundled`."""
    if name != AUTO:
        return PresetChoice(load_preset(name), f"using preset `{name}` (from {option_origin('preset', name)})")
    paper = load_preset("paper")
    problem = find_missing_model(paper)
    if problem is None:
        return PresetChoice(paper, "using preset `paper`: its models are on this machine, or the hub responds")
    return PresetChoice(load_preset("bundled"), f"using preset `bundled`: {problem} (--preset paper fails instead)")


def resolve_preset(
    options: Options, also: Sequence[str] = (), contexts: Sequence[str] = (), language: str = ""
) -> PresetChoice:
    """The preset with changed settings; `also` names sections that are not settings of stages.

    `language` is that of the dataset, for stages without a setting of their own. Plugin stages that `--stage`, the
    order of the contexts or `contexts` names are added.

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
            raise UsageError(f"contexts.order names {name}, which is not a context", hint)
    named = [("--set", name, known) for name in parse_assignments(options.assignments)]
    for option, name, possible in named + [("--refresh", name, stages) for name in options.refresh]:
        if name not in possible:
            message = f"{option} names {name}, which is not a stage of preset {preset.name}"
            raise UsageError(message, _suggest_stage(name, possible))
    return replace(choice, preset=add_language(apply_changes(preset, options.changes), language))


def _suggest_stage(name: str, possible: Sequence[str]) -> str:
    """How to add a stage that is installed, else the nearest name."""
    if name in list_plugin_stages():
        return f"name it: --stage {name}, or in contexts.order, as docs/own-stage.md shows"
    return nearest(name, possible) or f"known are {', '.join(possible)}"


def find_missing_model(preset: Preset) -> str | None:
    """Why a model of a preset is unavailable, or None if all are available."""
    from stages.models.identity import identify

    for model in list_hub_models(preset):
        try:
            identify(model)
        except StageError as error:
            return str(error)
    return None


def list_hub_models(preset: Preset) -> list[str]:
    """The models of a preset that come from a hub, the encoder first."""
    return [name for name in [preset.encoder, *list_models(preset.stages)] if "/" in name]


def list_models(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The models that the settings of stages name; settings of a stage that is not installed are left out."""
    entry_points = stage_entry_points()
    models: list[str] = []
    for stage, settings in stages.items():
        if stage in entry_points:
            names = load_stage(entry_points[stage]).config_type.list_model_settings()
            models += [str(settings[name]) for name in names if name in settings]
    return models


def build_stages(preset: Preset, only: Sequence[str] = ()) -> list[Stage[Any]]:
    """The stages of a preset, or those named and the ones they read.

    Raises:
        UsageError: a stage is unknown or a setting is invalid.
    """
    for name in only:
        if name in OPTIONAL_STAGES and name not in preset.stages:
            hint = f"name its model to turn it on: --set {name}.model=NAME; see docs/{name}.md"
            raise UsageError(f"the stage {name} is off", hint)
        if name not in preset.stages:
            repeated = " ".join(f"--stage {part.strip()}" for part in name.split(","))
            hint = f"repeat the option: {repeated}" if "," in name else ""
            hint = hint or nearest(name, preset.stages) or f"known are {', '.join(sorted(preset.stages))}"
            raise UsageError(f"preset {preset.name} has no stage {name}", hint)
    stages = {name: build_stage(name, settings) for name, settings in preset.stages.items()}
    selected = set(only or stages)
    while required := {read for name in selected for read in stages[name].reads} - selected:
        if missing := required - set(stages):
            reader = next(name for name in selected if set(stages[name].reads) & missing)
            raise UsageError(
                f"the stage {reader} reads {min(missing)}, which preset {preset.name} does not have",
                f"add it below stages: in the preset's file, or name it too: --stage {min(missing)}",
            )
        selected |= required
    return [stage for name, stage in stages.items() if name in selected]


def build_context_stages(preset: Preset, config: ContextConfig) -> list[Stage[Any]]:
    """The stages that compute these contexts. An optional stage that the preset does not have is left out.

    Raises:
        UsageError: a setting is invalid.
    """
    names = [name for name in stage_names(config.order) if name in preset.stages or name not in OPTIONAL_STAGES]
    return build_stages(preset, names) if names else []


def build_stage(name: str, settings: Mapping[str, Any]) -> Stage[Any]:
    """A stage with these settings. Until `Consent.require` has decided, it sends nothing.

    Raises:
        UsageError: there is no such stage, or a setting is invalid.
    """
    entry_points = stage_entry_points()
    if name not in entry_points:
        installed = ", ".join(sorted(entry_points))
        hint = nearest(name, entry_points) or f"install the package it comes in; installed are {installed}"
        raise UsageError(f"there is no stage {name}", hint)
    stage_type = load_stage(entry_points[name])
    config = parse_config(stage_type.config_type, settings, f"stage {name}", name)
    try:
        stage = stage_type(config)
    except Exception as error:
        if isinstance(error, StageError):
            raise
        raise StageError(
            f"the stage {name} cannot be built: {type(error).__name__}: {error}", REPORT_STAGE
        ) from error
    stage.agreed, stage.suggested = False, True
    return stage


def load_stage(entry: EntryPoint) -> type[Stage[Any]]:
    """Import the class of a stage.

    Raises:
        StageError: its module cannot be imported, or the entry point does not name a stage.
    """
    try:
        stage = entry.load()
    except (Exception, SystemExit) as error:
        hint = f"fix or remove the package {package_names(entry)}" if package_names(entry) else ""
        raise StageError(f"the stage {entry.name} ({entry.value}) cannot be loaded: {error}", hint) from error
    fault = _find_fault(stage, entry.name)
    if fault:
        raise StageError(f"the stage {entry.name} ({entry.value}) {fault}", REPORT_STAGE)
    return stage


def _find_fault(stage: Any, name: str) -> str:
    """What is wrong with the class of a stage; empty if nothing is."""
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        return "is not a subclass of stages.base.Stage"
    declared = {"name": str, "version": int, "config_type": type, "value_type": type}
    for attribute, kind in declared.items():
        if not isinstance(getattr(stage, attribute, None), kind):
            return f"does not declare its {attribute}"
    if not issubclass(stage.config_type, StageConfig):
        return "has a config_type that is not a StageConfig"
    if not issubclass(stage.value_type, Value):
        return "has a value_type that is not a Value"
    return "" if stage.name == name else f"calls itself {stage.name}, and its entry point {name}"


def load_installed_stages() -> dict[str, type[Stage[Any]]]:
    """The classes of all installed stages, by name, and of the grounder's, which make no contexts."""
    from stages.objects.queries import QueriesStage
    from stages.objects.similarity import SimilarityStage

    installed = {name: load_stage(entry) for name, entry in stage_entry_points().items()}
    return {**installed, QueriesStage.name: QueriesStage, SimilarityStage.name: SimilarityStage}
