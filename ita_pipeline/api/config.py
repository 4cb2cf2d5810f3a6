"""The Python API of `ita config show`: every setting that a command would use, and its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ita_pipeline.core.config import find_config, merge_settings, parse_assignments, parse_config, read_yaml
from ita_pipeline.core.config_layers import (
    OPTION_NAMES,
    Layer,
    check_section,
    merge_options,
    merge_sections,
    read_layers,
)
from ita_pipeline.core.errors import SettingError
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import DatasetCard, find_dataset
from ita_pipeline.engines.executor import Limits
from ita_pipeline.extraction.presets import Preset, add_plugin_stages, build_stage, choose_preset
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.runs.plan import default_experiment

DEFAULT = "default"

DEFAULTS = {"preset": "auto", "workspace": ".", "data": "data", "captions": "auto"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in the form of `--set`, its value as plain JSON, and the last layer that sets it."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, the reason for the choice of preset, and the invalid settings."""

    all: tuple[Setting, ...]
    why: str
    problems: tuple[SettingError, ...] = ()


def settings(
    flags: Mapping[str, str] | None = None, assignments: tuple[str, ...] = (), dataset: str | None = None
) -> Settings:
    """Resolve every setting that commands would use in this folder.

    `flags` are options from the command line. The card of `dataset` determines the experiment.

    Raises:
        UsageError: a layer names an unknown section or option, or the preset does not exist.
    """
    assigned = parse_assignments(assignments)
    for name in assigned:
        check_section(name, "--set")
    layers = [*read_layers(), Layer("flag", flags or {}), Layer("--set", sections=assigned)]
    options = merge_options(layers)
    choice = choose_preset(options.get("preset", DEFAULTS["preset"]))
    order = merge_sections(layers).get("contexts", {}).get("order", choice.preset.contexts.order)
    preset = add_plugin_stages(choice.preset, order if isinstance(order, list | tuple) else ())
    file = _experiment_file(preset, options.get("experiment"), dataset)
    contexts = preset.contexts.model_dump(mode="json", exclude_unset=True)
    below = [
        Layer(
            f"preset {preset.name}",
            options={"encoder": preset.encoder},
            sections={**preset.stages, "contexts": contexts},
        ),
        Layer(f"experiment {file.stem}", sections={"training": read_yaml(file)}),
    ]
    models: dict[str, type[BaseModel]] = {name: build_stage(name, {}).config_type for name in preset.stages}
    models |= {"contexts": ContextConfig, "limits": Limits, "training": TrainingConfig}
    problems: list[SettingError] = []
    rows = list(_resolve_options([*below, *layers]))
    for section, model in models.items():
        rows += _resolve_section(section, model, [*below, *layers], problems)
    return Settings(tuple(rows), choice.why, tuple(problems))


def _resolve_options(layers: Sequence[Layer]) -> Iterator[Setting]:
    for name in OPTION_NAMES:
        values = [(layer.options[name], layer.origin) for layer in layers if name in layer.options]
        value, origin = values[-1] if values else (DEFAULTS.get(name), DEFAULT)
        yield Setting(name, value, origin)


def _resolve_section(
    section: str, model: type[BaseModel], layers: Sequence[Layer], problems: list[SettingError]
) -> Iterator[Setting]:
    """Merge a section's settings over all layers; the origin of each is the last layer that sets it.

    If one is invalid, it is added to the problems, and only the settings that a layer sets are returned.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        changes = layer.sections.get(section, {})
        values = merge_settings(values, changes)
        origins |= dict.fromkeys(_flatten(changes), layer.origin)
    try:
        values = parse_config(model, values, section, section).model_dump(mode="json")
    except SettingError as error:
        problems.append(error)
    for name, value in _flatten(values).items():
        yield Setting(f"{section}.{name}", value, origins.get(name, DEFAULT))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten `{"a": {"b": 1}}` to `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _experiment_file(preset: Preset, name: str | None, dataset: str | None) -> Path:
    if name is not None:
        return find_config("experiments", name)
    experiment = "default"
    if dataset is not None and not Path(dataset).is_dir():
        file = find_dataset(dataset)
        experiment = DatasetCard.read(file).experiment
    return find_config("experiments", default_experiment(experiment, preset))
