"""Every setting that a command would use, with where it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import DatasetCard, find_dataset
from ita_pipeline.engines.executor import Limits
from ita_pipeline.extraction.presets import PresetChoice, add_plugin_stages, build_stage, choose_preset
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.runs.plan import default_experiment

DEFAULT = "default"

DEFAULTS = {"preset": "auto", "workspace": ".", "data": "data", "captions": "auto"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in the form of `--set`, its value as plain JSON, and the layer that said it last."""

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them, and the sentence that explains the preset."""

    all: tuple[Setting, ...]
    why: str


def settings(
    flags: Mapping[str, str] | None = None, assignments: tuple[str, ...] = (), dataset: str | None = None
) -> Settings:
    """What commands would use here. `flags` are options given by hand; a dataset chooses the experiment.

    Raises:
        UsageError: a layer names what is no setting, or a value is impossible.
    """
    said = parse_assignments(assignments)
    for name in said:
        check_section(name, "--set")
    found = [*read_layers(), Layer("flag", flags or {}), Layer("--set", sections=said)]
    options = merge_options(found)
    choice = choose_preset(options.get("preset", DEFAULTS["preset"]))
    order = merge_sections(found).get("contexts", {}).get("order", choice.preset.contexts.order)
    choice = replace(
        choice, preset=add_plugin_stages(choice.preset, order if isinstance(order, list | tuple) else ())
    )
    rows = [*of_options(found, choice), *of_stages(found, choice)]
    file = experiment_file(choice, options.get("experiment"), dataset)
    below = [
        Layer(f"preset {choice.preset.name}", sections={"contexts": as_said(choice.preset.contexts)}),
        Layer(f"experiment {file.stem}", sections={"training": read_yaml(file)}),
    ]
    for section, model in (("contexts", ContextConfig), ("limits", Limits), ("training", TrainingConfig)):
        rows += of_section(section, model, [*below, *found])
    return Settings(tuple(rows), choice.why)


def of_options(found: Sequence[Layer], choice: PresetChoice) -> Iterator[Setting]:
    preset = Layer(f"preset {choice.preset.name}", {"encoder": choice.preset.encoder})
    for name in OPTION_NAMES:
        said = [(layer.options[name], layer.origin) for layer in [preset, *found] if name in layer.options]
        value, origin = said[-1] if said else (DEFAULTS.get(name), DEFAULT)
        yield Setting(name, value, origin)


def of_stages(found: Sequence[Layer], choice: PresetChoice) -> Iterator[Setting]:
    """The settings of the preset's stages, the third parties' among them."""
    preset = Layer(f"preset {choice.preset.name}", sections=choice.preset.stages)
    for name in choice.preset.stages:
        model = build_stage(name, {}).config_type
        yield from of_section(name, model, [preset, *found])


def of_section(section: str, model: type[BaseModel], found: Sequence[Layer]) -> Iterator[Setting]:
    """A section's settings after all layers, each with the last layer that named it."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in found:
        said = layer.sections.get(section, {})
        values = merge_settings(values, said)
        origins |= dict.fromkeys(leaves(said), layer.origin)
    config = parse_config(model, values, section)
    for name, value in leaves(config.model_dump(mode="json")).items():
        yield Setting(f"{section}.{name}", value, origins.get(name, DEFAULT))


def leaves(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= leaves(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def as_said(config: BaseModel) -> dict[str, Any]:
    """What somebody set, without what is there by default."""
    return config.model_dump(mode="json", exclude_unset=True)


def experiment_file(choice: PresetChoice, name: str | None, dataset: str | None) -> Path:
    if name is not None:
        return find_config("experiments", name)
    wanted = "default"
    if dataset is not None and not Path(dataset).is_dir():
        file = find_dataset(dataset)
        wanted = parse_config(DatasetCard, read_yaml(file), f"dataset card {file.name}").experiment
    return find_config("experiments", default_experiment(wanted, choice.preset))
