"""Configuration files: found by name, read from YAML, checked, and changed by `--set`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ita_pipeline.core.errors import MissingError, UsageError, nearest

MAX_BYTES = 1 << 20

_SHOULD_BE = "Input should be "

Model = TypeVar("Model", bound=BaseModel)


def package_data_folder(name: str) -> Path:
    """A folder that travels with the code: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def config_files(kind: str) -> dict[str, Path]:
    """Names and files of the presets, experiments or datasets that come with the project."""
    return {file.stem: file for file in sorted((package_data_folder("configs") / kind).glob("*.yaml"))}


def find_config(kind: str, name: str) -> Path:
    """A configuration by name, or by the path of a YAML file.

    Raises:
        UsageError: there is none; the hint has the nearest name.
    """
    known = config_files(kind)
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    what = kind.removesuffix("s")
    hint = nearest(name, known) or f"known are {', '.join(known)}; or give a YAML file"
    raise UsageError(f"there is no {what} {name}", hint)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping. No tags, no repeated keys, at most 1 MB.

    Raises:
        MissingError: the file cannot be read.
        UsageError: it is not such a file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large for a configuration file", "ita init writes one to begin with")
        content = yaml.load(path.read_text("utf-8"), Loader=StrictLoader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise unreadable_file_error(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise UsageError(
            f"{path} is not valid YAML: {what}", "each line is NAME: VALUE; ita init writes one"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"{path} does not hold a mapping of names to values", "each line is NAME: VALUE; ita init writes one"
        )
    return content


def unreadable_file_error(path: Path, error: OSError) -> MissingError:
    """The error to raise where a configuration file is there and the system does not give it."""
    denied = isinstance(error, PermissionError)
    hint = f"chmod u+r {path}, or remove it" if denied else f"mend or remove {path}"
    return MissingError(f"{path} cannot be read: {error.strerror}", hint)


class StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, which YAML would quietly let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_config(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """`values` as a configuration.

    Raises:
        UsageError: a name is unknown or a value impossible; says which, and suggests the nearest name.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise UsageError(*_explain(error, model, where)) from error


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> tuple[str, str]:
    first = error.errors()[0]
    path = _setting_path(model, first["loc"])
    place = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _setting_names(model, first["loc"][:-1])
        hint = nearest(str(first["loc"][-1]), known) or f"known are {', '.join(known)}"
        return f"{where} has no setting {place}", hint
    given = first.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    # Of a setting that takes several kinds of value, each kind says what it wants.
    reasons = [found["msg"] for found in error.errors() if _setting_path(model, found["loc"]) == path]
    either = [reasons[0][:1].lower() + reasons[0][1:], *(text.removeprefix(_SHOULD_BE) for text in reasons[1:])]
    reason = ", or ".join(either)
    return f"{where}: {place}: {reason}{shown}", "ita config show --origin says what is set, and where"


def _setting_path(model: type[BaseModel], location: Sequence[int | str]) -> tuple[str, ...]:
    """Where a value stands, without the kind that pydantic adds where a setting takes values of several kinds."""
    path = [str(part) for part in location]
    inner: Any = model
    for number, part in enumerate(path):
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        inner = inner.model_fields[part].annotation if part in inner.model_fields else None
        if get_origin(inner) in (Union, UnionType):
            return tuple(path[: number + 1])
    return tuple(path)


def _setting_names(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def parse_assignments(assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`["ocr.page_mode=6"]` as `{"ocr": {"page_mode": 6}}`; values are read as YAML, and none is an empty text.

    Raises:
        UsageError: not of the form SECTION.NAME=VALUE.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for text in assignments:
        match = re.fullmatch(r"([A-Za-z_]\w*)\.([A-Za-z_][\w.]*)=(.*)", text, re.DOTALL)
        if match is None:
            raise UsageError(f"--set {text} is not of the form STAGE.PARAMETER=VALUE", "--set ocr.page_mode=6")
        section, name, value = match.groups()
        try:
            place = parsed.setdefault(section, {})
            *parents, last = name.split(".")
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = yaml.safe_load(value) if value.strip() else ""
        except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:
            raise UsageError(
                f"--set {text} is no value, or contradicts another --set",
                "a value is written as in YAML: --set ocr.page_mode=6",
            ) from error
    return parsed


def merge_settings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` over it, mappings merged to any depth."""
    result = dict(base)
    for name, value in changes.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merge_settings(before, value) if both else value  # type: ignore[arg-type]
    return result
