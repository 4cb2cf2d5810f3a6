"""Settings in layers: the user's file, the project's `ita.yaml`, the environment; each goes over the one before.

A file names options (`preset: bundled`) and, by section, settings of stages, contexts, limits and training. The
environment says the same as `ITA_PRESET` and, with two underscores after the section, `ITA_OCR__PAGE_MODE`. Flags
and `--set` go over all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ita_pipeline.core.config import MAX_BYTES, StrictLoader, merge_settings, read_yaml, unreadable_file_error
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.remote import is_url

PROJECT_FILE = Path("ita.yaml")

OPTION_NAMES = ("preset", "workspace", "data", "shared", "encoder", "captions", "experiment")

_FOLDER_OPTIONS = ("workspace", "data", "shared")

_OTHER_SECTIONS = ("contexts", "limits", "training")

_PREFIX, _SECTION_SEPARATOR = "ITA_", "__"

# Read elsewhere, and no settings.
_SWITCHES = frozenset({"ITA_DEBUG", "ITA_QUIET"})


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says: options by name, and settings by section."""

    origin: str
    options: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_layers(environment: Mapping[str, str] | None = None) -> list[Layer]:
    """What the files and the environment say, the weakest first.

    Raises:
        UsageError: a file or variable names what is no setting.
    """
    environment = os.environ if environment is None else environment
    found = [_read_layer(user_config_file(environment)), _read_layer(PROJECT_FILE)]
    return [layer for layer in found if layer is not None] + list(_environment_layers(environment))


def user_config_file(environment: Mapping[str, str]) -> Path:
    """`~/.config/ita/config.yaml`, or where the system keeps such files."""
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ita" / "config.yaml"


def _read_layer(file: Path) -> Layer | None:
    """
    Raises:
        MissingError: it is there and cannot be read.
        UsageError: it is no mapping, or names what is no setting.
    """
    try:
        if not file.is_file():
            return None
        content = {} if _is_empty(file) else read_yaml(file)
    except OSError as error:
        raise unreadable_file_error(file, error) from error
    options = {name: value for name, value in content.items() if not isinstance(value, dict)}
    sections = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name, value in options.items():
        _check_option(name, value, str(file))
    for name in sections:
        check_section(str(name), str(file))
    return Layer(
        str(file), {name: _resolve_folder(name, str(value), file) for name, value in options.items()}, sections
    )


def _is_empty(file: Path) -> bool:
    """Whether every line is a comment, as in a file that `ita init` has just written."""
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        return False  # and too large, which whoever reads it says
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in content.splitlines())


def _resolve_folder(name: str, value: str, file: Path) -> str:
    """A folder's name is meant from where the file lies, which for the project's file is here."""
    return str(file.parent / Path(value).expanduser()) if name in _FOLDER_OPTIONS and not is_url(value) else value


def _check_option(name: Any, value: Any, where: str) -> None:
    if name in OPTION_NAMES:
        if not isinstance(value, str):
            raise UsageError(f"{where}: {name} is a name or a path, not {value!r}", f'{name}: "…", in quotes')
        return
    known = [*OPTION_NAMES, *_section_names()]
    if name in known:
        raise UsageError(f"{where}: {name} holds settings, not {value!r}", f"write {name}: {{NAME: VALUE}}")
    raise UsageError(f"{where} has no setting {name}", nearest(str(name), known) or f"known are {', '.join(known)}")


def check_section(name: str, where: str) -> None:
    known = _section_names()
    if name not in known:
        all_names = [*OPTION_NAMES, *known]
        raise UsageError(
            f"{where} has no section {name}",
            nearest(name, all_names) or f"known are {', '.join(all_names)}",
        )


def _section_names() -> list[str]:
    from ita_pipeline.core.plugins import stage_entry_points

    return [*sorted(stage_entry_points()), *_OTHER_SECTIONS]


def _environment_layers(environment: Mapping[str, str]) -> Iterator[Layer]:
    """A layer a variable, so that each keeps its name."""
    for variable in sorted(environment):
        if not variable.startswith(_PREFIX) or variable in _SWITCHES:
            continue
        origin, value = f"environment {variable}", environment[variable]
        name, *path = variable.removeprefix(_PREFIX).lower().split(_SECTION_SEPARATOR)
        if path:
            check_section(name, origin)
            yield Layer(origin, sections={name: _nest(path, _parse_value(value, origin))})
        elif name in OPTION_NAMES:
            yield Layer(origin, {name: value})


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none: mostly misspelt."""
    names = [name for name in environment if name.startswith(_PREFIX) and _SECTION_SEPARATOR not in name]
    return sorted(
        name for name in names if name not in _SWITCHES and name.removeprefix(_PREFIX).lower() not in OPTION_NAMES
    )


def _parse_value(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{where}: {text!r} is no value", "a value is written as in YAML: 3, 0.5, true, a word"
        ) from error


def _nest(path: list[str], value: Any) -> dict[str, Any]:
    """`["a", "b"]` and 1 as `{"a": {"b": 1}}`."""
    for name in reversed(path):
        value = {name: value}
    return value


def merge_sections(found: list[Layer]) -> dict[str, dict[str, Any]]:
    """The settings of all layers in one, the strongest last."""
    result: dict[str, Any] = {}
    for layer in found:
        result = merge_settings(result, layer.sections)
    return result


def merge_options(found: list[Layer]) -> dict[str, str]:
    return {name: value for layer in found for name, value in layer.options.items()}
