"""Configuration files: looked up by name, read from YAML, validated, and changed by `--set`."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ita_pipeline.core.errors import MissingError, SettingError, UsageError, nearest
from ita_pipeline.core.files import open_regular, read_chunks, read_regular
from ita_pipeline.core.text import decode_text

MAX_BYTES = 1 << 20

_FILE_HINT = "each line is NAME: VALUE, such as preset: bundled"

_Model = TypeVar("_Model", bound=BaseModel)


def package_data_folder(name: str, package: Path = Path(__file__).parents[1]) -> Path:
    """Return a data folder of the project: inside the package in a wheel, and beside it in a checkout."""
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def config_files(kind: str) -> dict[str, Path]:
    """Return the presets, experiments or datasets that come with the package: their files by name."""
    return {file.stem: file for file in sorted((package_data_folder("configs") / kind).glob("*.yaml"))}


def find_config(kind: str, name: str) -> Path:
    """Find a configuration by its name, or by the path of a YAML file.

    Raises:
        UsageError, MissingError: the preset, experiment or dataset does not exist; the hint has the nearest name.
    """
    known = config_files(kind)
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    names = ", ".join(list(known)[:8]) + (", …" if len(known) > 8 else "")
    is_file = path.suffix in (".yaml", ".yml")
    hint = nearest(name, known) or f"known are {names}; or give a YAML file"
    error = MissingError if kind == "datasets" or is_file else UsageError
    raise error(f"there is no {'file' if is_file else kind.removesuffix('s')} {name}", hint)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file with one mapping: without tags and repeated keys, and of at most 1 MB.

    Raises:
        MissingError: the file cannot be read.
        UsageError: the content is not such a mapping.
    """
    try:
        with open_regular(path) as file:
            text = b"".join(read_chunks(file, MAX_BYTES))
        if len(text) > MAX_BYTES:
            raise UsageError(f"{path} is too large for a configuration file", "ita init writes a new one")
        content = yaml.load(decode_text(text, str(path)), Loader=StrictLoader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise unreadable_file_error(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = str(problem or " ".join(str(error).split())).replace("'<stream end>'", "the end of the file")
        hint = "remove one of the two" if "is given twice" in reason else _FILE_HINT
        raise UsageError(f"{place} is not valid YAML: {reason}", hint) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} does not contain a mapping of names to values", _FILE_HINT)
    return cast("dict[str, Any]", content)


def unreadable_file_error(path: Path, error: OSError) -> MissingError:
    """Return the error for a configuration file that exists and cannot be read."""
    is_denied = isinstance(error, PermissionError)
    hint = f"chmod u+r {path}, or remove it" if is_denied else f"replace or remove {path}"
    return MissingError(f"{path} cannot be read: {error.strerror}", hint)


class StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses repeated keys. By the standard, the last one would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, or refuse it because of a repeated key."""
        names: set[object] = set()
        for key, _ in node.value:
            name: object = self.construct_object(key, deep=True)  # pyright: ignore
            if not isinstance(name, Hashable):
                continue  # which is an error in itself
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep)


def find_line(file: Path, path: Sequence[str]) -> int:
    """Return the line of a file on which the last of these nested names is, as far as they are there."""
    line = 1
    node: Any = yaml.compose(read_regular(file, MAX_BYTES), Loader=StrictLoader)  # pyright: ignore
    for name in path:
        pairs: Any = node.value if isinstance(node, yaml.MappingNode) else ()
        for key, value in pairs:
            if key.value == name:
                node, line = value, key.start_mark.line + 1
                break
    return line


def parse_config(model: type[_Model], values: Mapping[str, Any], where: Path | str, section: str = "") -> _Model:
    """Validate `values` as a configuration, or as its section of this name; `where` is its file or a name for it.

    Raises:
        SettingError: a name is unknown, with the nearest one as the hint, or a value is impossible.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        path, problem, hint = _describe_error(error, model)
        if section:
            raise SettingError("", (section, *path), problem, hint) from error
        if isinstance(where, Path) and problem == "is missing":
            hint = f"add a line to it: {'.'.join(path)}: VALUE"
        elif isinstance(where, Path):
            hint = hint if problem == "is not a setting" else f"correct {where}"
            where = f"{where}:{find_line(where, path)}"
        raise SettingError(f"{where}: ", path, problem, hint) from error


def _describe_error(error: ValidationError, model: type[BaseModel]) -> tuple[tuple[str, ...], str, str]:
    """Return the path of the first wrong setting, the problem, and a hint."""
    first = error.errors()[0]
    path = _setting_path(model, first["loc"])
    if first["type"] == "extra_forbidden":
        known = _setting_names(model, first["loc"][:-1])
        hint = nearest(str(first["loc"][-1]), known) or f"known are {', '.join(known)}"
        return path, "is not a setting", hint
    value = first.get("input")
    shown = f", not {value!r}" if first["type"] != "missing" and isinstance(value, str | int | float | bool) else ""
    # A setting that accepts values of several types has one error for each type.
    messages = [details["msg"] for details in error.errors() if _setting_path(model, details["loc"]) == path]
    reason = describe_requirement(messages)
    return path, f"{reason}{shown}", "ita config show --origin shows the origin of every setting"


def describe_requirement(messages: Sequence[str]) -> str:
    """Join the requirements of pydantic that a value misses to a text such as `must be an integer or 'lines'`."""
    reasons = [re.sub(r", unable to (parse|interpret) .*", "", text) for text in messages]
    is_requirement = all(text.startswith("Input should be ") for text in reasons)
    if not is_requirement:
        first = reasons[0].removeprefix("Value error, ").replace("Field required", "is missing")
        return first[:1].lower() + first[1:]
    required = [text.removeprefix("Input should be ").replace("a valid ", "a ") for text in reasons]
    text = f"must be {' or '.join(required)}".replace("a integer", "an integer").replace("a array", "a list")
    text = text.replace("a boolean", "true or false").replace("greater than or equal to", "at least")
    return text.replace("less than or equal to", "at most")


def _setting_path(model: type[BaseModel], location: Sequence[int | str]) -> tuple[str, ...]:
    """Return the names that lead to a setting, without the type that pydantic appends for a union of types."""
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
    """Parse `["ocr.page_mode=6"]` to `{"ocr": {"page_mode": 6}}`. Values are YAML; no value is an empty text.

    Raises:
        UsageError: an assignment is not of the form SECTION.NAME=VALUE.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for text in assignments:
        match = re.fullmatch(r"([A-Za-z_]\w*)\.([A-Za-z_][\w.]*)=(.*)", text, re.DOTALL)
        if match is None:
            raise UsageError(f"--set {text} is not of the form SECTION.NAME=VALUE", _complete_assignment(text))
        section, name, value = match.groups()
        try:
            settings = parsed.setdefault(section, {})
            *parents, last = name.split(".")
            for parent in parents:
                settings = settings.setdefault(parent, {})
            settings[last] = yaml.safe_load(value) if value.strip() else ""
        except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:
            hint = "a value is written as in YAML: --set ocr.page_mode=6"
            raise UsageError(f"--set {text} is not a value, or contradicts another --set", hint) from error
    return parsed


def _complete_assignment(text: str) -> str:
    """Return an assignment that has a section and a value, for one that lacks either."""
    name, _, value = text.partition("=")
    section, _, parameter = name.rpartition(".")
    is_name = re.fullmatch(r"[A-Za-z_]\w*", parameter) is not None and re.fullmatch(r"([A-Za-z_][\w.]*)?", section)
    return f"--set {section or 'SECTION'}.{parameter}={value or 'VALUE'}" if is_name else "--set ocr.page_mode=6"


def merge_settings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` over it. Mappings are merged at every depth."""
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge_settings(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value))
        result[name] = value
    return result
