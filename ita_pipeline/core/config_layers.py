"""Settings in layers: the user's file, the project's `ita.yaml` and the environment, from weakest to strongest.

A file holds options (`preset: bundled`) and sections of settings of stages, contexts, limits and training. The
environment has the same as `ITA_PRESET` and, with two underscores after the section, `ITA_OCR__PAGE_MODE`. Flags
and `--set` are stronger than all layers.

`ita.yaml` is data, as it may come with a folder from someone else: see `ita_pipeline.core.trust`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from ita_pipeline.core.config import (
    MAX_BYTES,
    StrictLoader,
    find_config,
    find_line,
    merge_settings,
    read_yaml,
    unreadable_file_error,
)
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.files import open_regular, read_chunks
from ita_pipeline.core.remote import is_url, without_query
from ita_pipeline.core.trust import (
    explain_ignored,
    is_shared_cache_trusted,
    place_of,
    user_config_folder,
    without_personal,
)

PROJECT_FILE = Path("ita.yaml")

OPTION_NAMES = ("preset", "workspace", "data", "shared", "encoder", "captions", "experiment")

_PREFIX, _SECTION_SEPARATOR = "ITA_", "__"

# Variables that are not settings, and are read elsewhere.
_SWITCHES = frozenset({"ITA_API_KEY", "ITA_DEBUG", "ITA_QUIET", "ITA_RUNTIME"})


@dataclass(frozen=True, slots=True)
class Layer:
    """The content of one layer: options by name, and settings by section.

    `is_own` is false for `ita.yaml`, which someone else may have written. `withheld` has a message and
    a hint for each setting of it that is ignored for this reason.
    """

    origin: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    is_own: bool = True
    withheld: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


def read_layers(environment: Mapping[str, str] | None = None) -> list[Layer]:
    """Read the files and the environment, the weakest layer first.

    Raises:
        MissingError: a file cannot be read.
        UsageError: a file or variable has a name that is not a setting.
    """
    environment = os.environ if environment is None else environment
    user, project = _read_layer(user_config_file(environment)), _read_layer(PROJECT_FILE)
    files = [user, project and _withhold(project)]
    return [*filter(None, files), *_environment_layers(environment)]


def user_config_file(environment: Mapping[str, str]) -> Path:
    """Return the user's own file: `~/.config/ita/config.yaml`."""
    return user_config_folder(environment) / "config.yaml"


def check_section(name: str, where: str) -> None:
    """Refuse an unknown section.

    Raises:
        UsageError: there is no such section; the hint has the nearest name.
    """
    known = _section_names()
    if name not in known:
        names = [*OPTION_NAMES, *known]
        hint = nearest(name, names) or f"known are {', '.join(names)}"
        raise UsageError(f"{where}: {name} is not a section", hint)


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that look like settings but are not, with a hint for each that is close to a setting."""
    names = [name for name in environment if name.startswith(_PREFIX) and _SECTION_SEPARATOR not in name]
    known = [f"{_PREFIX}{option.upper()}" for option in OPTION_NAMES]
    return {
        name: _suggest_section(name) or nearest(name, known, cutoff=0.8)
        for name in sorted(names)
        if name not in _SWITCHES and name not in known
    }


def _suggest_section(variable: str) -> str:
    """Return a hint for a variable that has one underscore after its section instead of two."""
    section, _, setting = variable.removeprefix(_PREFIX).partition("_")
    is_section = setting and section.lower() in _section_names()
    return f"did you mean {_PREFIX}{section}{_SECTION_SEPARATOR}{setting}?" if is_section else ""


def setting_origin(path: Sequence[str]) -> str:
    """Return the file and line, or the variable, that sets a setting last; an empty text if none does."""
    for layer in reversed(read_layers()):
        value: Any = {**layer.sections, **layer.options}
        for name in path:
            settings: Mapping[str, Any] = value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
            value = settings.get(name)
        if value is not None:
            is_file = Path(layer.origin).is_file()
            return f"{layer.origin}:{find_line(Path(layer.origin), path)}" if is_file else layer.origin.split()[-1]
    return ""


def find_named_config(option: str, name: str) -> Path:
    """Find the configuration that the option `preset` or `experiment` names.

    Raises:
        UsageError: it does not exist; the message names the file and line, or the variable, that sets the option.
    """
    try:
        return find_config(f"{option}s", name)
    except UsageError as error:
        is_set = any(layer.options.get(option) == name for layer in read_layers())
        where = f"{setting_origin((option,))}: " if is_set else ""
        raise UsageError(f"{where}{error}", error.hint) from error


def option_origin(name: str, value: str) -> str:
    """Return the last layer that gives an option this value, or else its flag."""
    origins = [layer.origin for layer in read_layers() if layer.options.get(name) == value]
    return origins[-1] if origins else f"--{name}"


def merge_sections(layers: Sequence[Layer]) -> dict[str, dict[str, Any]]:
    """Merge the settings of all layers, given from weakest to strongest."""
    return reduce(merge_settings, (layer.sections for layer in layers), dict[str, Any]())


def merge_options(layers: Sequence[Layer]) -> dict[str, str]:
    """Merge the options of all layers, given from weakest to strongest."""
    return {name: value for layer in layers for name, value in layer.options.items()}


def _read_layer(file: Path) -> Layer | None:
    try:
        if not file.is_file():
            return None
        content = {} if _is_empty(file) else read_yaml(file)
    except OSError as error:
        raise unreadable_file_error(file, error) from error
    # A section of which every setting is a comment has no value.
    known = _section_names()
    content: dict[str, Any] = {
        name: {} if value is None and name in known else value for name, value in content.items()
    }
    sections: dict[str, Any] = {name: value for name, value in content.items() if isinstance(value, dict)}
    options = {name: _read_option(name, value, file) for name, value in content.items() if name not in sections}
    for name in sections.keys() - set(known):
        check_section(str(name), f"{file}:{find_line(file, (name,))}")
    return Layer(str(file), options, sections)


def _withhold(project: Layer) -> Layer:
    """Return the layer of `ita.yaml` without what only the user can decide."""
    withheld = explain_ignored(project.sections, project.origin)
    options, shared = dict(project.options), project.options.get("shared", "")
    address = shared if is_url(shared) else str(Path(shared).absolute())
    if shared and not is_shared_cache_trusted(address, PROJECT_FILE.parent):
        del options["shared"]
        message = (
            f"{project.origin}: the shared cache {without_query(shared)} is not used, as you have not agreed to it"
        )
        withheld["shared"] = message, f"ita config trust {shlex.quote(place_of(address))}"
    return Layer(project.origin, options, without_personal(project.sections), is_own=False, withheld=withheld)


def _is_empty(file: Path) -> bool:
    """Whether every line is a comment, as in a new file of `ita init`. A file that is too large is not empty."""
    with open_regular(file) as opened:
        content = b"".join(read_chunks(opened, MAX_BYTES))
    lines = (line.strip() for line in content.splitlines())
    return len(content) <= MAX_BYTES and all(not line or line.startswith(b"#") for line in lines)


def _read_option(name: str, value: object, file: Path) -> str:
    """Return the value of an option. Relative folders start from the file's folder.

    Raises:
        UsageError: there is no such option, or its value is not a text.
    """
    if name in OPTION_NAMES and isinstance(value, str):
        is_folder = name in ("workspace", "data", "shared") and not is_url(value)
        return str(file.parent / Path(value).expanduser()) if is_folder else value
    where = f"{file}:{find_line(file, (str(name),))}"
    if name in OPTION_NAMES:
        raise UsageError(f"{where}: {name} must be a name or a path, not {value!r}", f'{name}: "…", in quotes')
    known = [*OPTION_NAMES, *_section_names()]
    if name in known:
        raise UsageError(f"{where}: {name} contains settings, not {value!r}", f"write {name}: {{NAME: VALUE}}")
    hint = nearest(str(name), known) or f"known are {', '.join(known)}"
    raise UsageError(f"{where}: {name} is not a setting", hint)


def _section_names() -> list[str]:
    from ita_pipeline.core.plugins import stage_entry_points

    return [*sorted(stage_entry_points()), "contexts", "grounding", "limits", "training"]


def _environment_layers(environment: Mapping[str, str]) -> Iterator[Layer]:
    """Yield one layer for each variable, so that each setting has its variable as origin."""
    for variable in sorted(environment):
        if not variable.startswith(_PREFIX) or variable in _SWITCHES:
            continue
        origin, value = f"environment {variable}", environment[variable]
        name, *path = variable.removeprefix(_PREFIX).lower().split(_SECTION_SEPARATOR)
        if path:
            check_section(name, origin)
            settings: Any = _parse_value(value, origin)
            for part in reversed(path):
                settings = {part: settings}
            yield Layer(origin, sections={name: settings})
        elif name in OPTION_NAMES:
            yield Layer(origin, {name: value})


def _parse_value(text: str, origin: str) -> object:
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        hint = "a value is written as in YAML: 3, 0.5, true, a word"
        raise UsageError(f"{origin}: {text!r} is not a value", hint) from error
